#include "singularity_agent/metrics/sample_repository.hpp"

namespace fleet::agent::metrics {
namespace {

measurement measurement_in(const postgres::row& row) {
  measurement told;
  told.metrics = row.get<boost::json::object>("told");
  told.told_traceparent = row.get<std::optional<std::string>>("traceparent");
  return told;
}

}  // namespace

boost::asio::awaitable<std::optional<base::proposal_id>> sample_repository::end_watch(postgres::connection& on) const {
  auto arguments = postgres::make_params(self_);
  const auto found = co_await on.query("select singularity.end_watch($1)", std::move(arguments));
  co_return found.single().get<std::optional<base::proposal_id>>(0);
}

boost::asio::awaitable<std::vector<due_watch>> sample_repository::due_watches(postgres::connection& on, int max) const {
  auto arguments = postgres::make_params(self_, max);
  const auto found = co_await on.query("select * from singularity.due_watches($1, $2)", std::move(arguments));
  std::vector<due_watch> due;
  for (const auto& row : found) {
    due_watch one;
    one.proposal = row.get<base::proposal_id>("proposal_id");
    one.agent_type = row.get<std::string>("agent_type");
    one.told = measurement_in(row);
    one.told_at = row.get<std::optional<std::string>>("told_at");
    due.push_back(std::move(one));
  }
  co_return due;
}

boost::asio::awaitable<std::optional<std::chrono::milliseconds>> sample_repository::next_watch(
    postgres::connection& on) const {
  auto arguments = postgres::make_params(self_);
  const auto found = co_await on.query("select singularity.next_watch_ms($1)", std::move(arguments));
  const auto wait = found.single().get<std::optional<std::int64_t>>(0);
  if (!wait) co_return std::nullopt;
  co_return std::chrono::milliseconds(*wait);
}

boost::asio::awaitable<bool> sample_repository::record_watch(postgres::connection& on, due_watch of, measurement what,
                                                             std::chrono::milliseconds interval) const {
  auto arguments =
      postgres::make_params(self_, of.proposal, what.metrics, interval.count(), what.told_traceparent, of.told_at);
  const auto found = co_await on.query("select singularity.record_watch($1, $2, $3, $4, $5, $6)", std::move(arguments));
  co_return found.single().get<bool>(0);
}

boost::asio::awaitable<void> sample_repository::record(postgres::connection& on, recorded_sample what) const {
  auto arguments =
      postgres::make_params(self_, what.proposal, what.status, what.before, what.after, what.told_traceparent);
  co_await on.query("select singularity.record_sample($1, $2, $3, $4, $5, 'agent', $6)", std::move(arguments));
}

boost::asio::awaitable<std::string> sample_repository::report(postgres::connection& on, base::proposal_id proposal,
                                                              measurement told) const {
  auto arguments = postgres::make_params(self_, proposal, told.metrics, told.told_traceparent);
  const auto found = co_await on.query("select singularity.report_metrics($1, $2, $3, $4)", std::move(arguments));
  co_return found.single().get<std::string>(0);
}

boost::asio::awaitable<void> sample_repository::tell(postgres::connection& on, std::string agent_type,
                                                     measurement told) const {
  auto arguments = postgres::make_params(self_, agent_type, told.metrics, told.told_traceparent);
  co_await on.query("select singularity.tell_metrics($1, $2, $3, $4)", std::move(arguments));
}

boost::asio::awaitable<measurement> sample_repository::told(postgres::connection& on, std::string agent_type,
                                                            std::chrono::milliseconds max_age) const {
  auto arguments = postgres::make_params(self_, agent_type, max_age.count());
  const auto found = co_await on.query("select * from singularity.told_metrics($1, $2, $3)", std::move(arguments));
  measurement told;
  if (!found.empty()) told = measurement_in(found.single());
  co_return told;
}

boost::asio::awaitable<std::vector<boost::json::object>> sample_repository::unreported(postgres::connection& on,
                                                                                       int max) const {
  auto arguments = postgres::make_params(self_, max);
  const auto found = co_await on.query("select singularity.unreported_samples($1, $2)", std::move(arguments));
  std::vector<boost::json::object> samples;
  for (const auto& row : found) samples.push_back(row.get<boost::json::object>(0));
  co_return samples;
}

boost::asio::awaitable<bool> sample_repository::mark_reported(postgres::connection& on, std::int64_t sample,
                                                              base::message_id message) const {
  auto arguments = postgres::make_params(self_, sample, message);
  const auto found = co_await on.query("select singularity.mark_reported($1, $2, $3)", std::move(arguments));
  co_return found.single().get<bool>(0);
}

boost::asio::awaitable<void> sample_repository::mark_unreportable(postgres::connection& on, std::int64_t sample,
                                                                  std::string problem) const {
  auto arguments = postgres::make_params(self_, sample, problem);
  co_await on.query("select singularity.mark_unreportable($1, $2, $3)", std::move(arguments));
}

}  // namespace fleet::agent::metrics
