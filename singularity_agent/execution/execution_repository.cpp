#include "singularity_agent/execution/execution_repository.hpp"

#include "common/base/text.hpp"
#include "singularity_agent/execution/journal_detail.hpp"

namespace fleet::agent::execution {
namespace {

step_permit permit_of(std::string_view text) {
  if (text == "go") return step_permit::go;
  return text == "rollback_requested" ? step_permit::rollback_requested : step_permit::not_executing;
}

rollback_request request_of(std::string_view text) {
  if (text == "requested") return rollback_request::requested;
  if (text == "repeated") return rollback_request::repeated;
  if (text == "nothing_applied") return rollback_request::nothing_applied;
  return text == "ended" ? rollback_request::ended : rollback_request::unknown;
}

earlier_step earlier_in(const boost::json::object& journaled) {
  earlier_step earlier;
  earlier.how_far = earlier_step::kind::unfinished;
  const auto outcome = text_of(journaled, "outcome");
  if (outcome.empty()) return earlier;
  earlier.how_far = earlier_step::kind::finished;
  earlier.result.outcome = outcome == to_string(step_outcome::done) ? step_outcome::done : step_outcome::failed;
  earlier.result.detail = text_of(journaled, "detail");
  earlier.result.duration = std::chrono::milliseconds(journaled.at("duration_ms").to_number<std::int64_t>());
  return earlier;
}

std::optional<boost::json::object> optional_object(const postgres::rows& found) {
  if (found.empty()) return std::nullopt;
  return found[0].get<std::optional<boost::json::object>>(0);
}

}  // namespace

std::string_view to_string(journal_step step) {
  switch (step) {
    case journal_step::check_profile:
      return "check_profile";
    case journal_step::metrics_before:
      return "metrics_before";
    case journal_step::apply:
      return "apply";
    case journal_step::verify:
      return "verify";
    case journal_step::metrics_after:
      return "metrics_after";
    case journal_step::undo:
      return "undo";
  }
  return "unknown";
}

boost::asio::awaitable<std::optional<boost::json::object>> execution_repository::next(postgres::connection& on) const {
  auto arguments = postgres::make_params(self_);
  const auto found = co_await on.query("select singularity.next_execution($1)", std::move(arguments));
  co_return optional_object(found);
}

boost::asio::awaitable<bool> execution_repository::begin(postgres::connection& on, base::proposal_id proposal) const {
  auto arguments = postgres::make_params(self_, proposal);
  const auto found = co_await on.query("select singularity.begin_execution($1, $2)", std::move(arguments));
  co_return found.single().get<bool>(0);
}

boost::asio::awaitable<step_permit> execution_repository::begin_step(postgres::connection& on,
                                                                     base::proposal_id proposal,
                                                                     journal_step step) const {
  auto arguments = postgres::make_params(self_, proposal, to_string(step));
  const auto found = co_await on.query("select singularity.begin_step($1, $2, $3)", std::move(arguments));
  co_return permit_of(found.single().text(0));
}

boost::asio::awaitable<void> execution_repository::finish_step(postgres::connection& on, finished_step what) const {
  const std::string_view outcome = what.done ? "done" : "failed";
  auto arguments = postgres::make_params(self_, what.proposal, to_string(what.step), outcome, what.detail);
  co_await on.query("select singularity.finish_step($1, $2, $3, $4, $5)", std::move(arguments));
}

boost::asio::awaitable<bool> execution_repository::finish_applied(postgres::connection& on,
                                                                  finished_execution what) const {
  auto arguments = postgres::make_params(self_, what.proposal, what.applied, what.metrics_before, what.after.metrics,
                                         what.window_seconds, what.interval.count(), what.after.told_traceparent);
  const auto found =
      co_await on.query("select singularity.finish_applied($1, $2, $3, $4, $5, $6, $7, $8)", std::move(arguments));
  co_return found.single().get<bool>(0);
}

boost::asio::awaitable<bool> execution_repository::fail(postgres::connection& on, failed_execution what) const {
  auto arguments =
      postgres::make_params(self_, what.proposal, what.failure, what.undone, what.metrics_before, what.metrics_after);
  const auto found =
      co_await on.query("select singularity.fail_execution($1, $2, $3, $4, $5, $6)", std::move(arguments));
  co_return found.single().get<bool>(0);
}

boost::asio::awaitable<rollback_request> execution_repository::request_rollback(
    postgres::connection& on, messages::rollback_trigger trigger) const {
  auto arguments =
      postgres::make_params(self_, trigger.proposal_id, trigger.rollback_id, trigger.reason, trigger.encode());
  const auto found = co_await on.query("select singularity.request_rollback($1, $2, $3, $4, $5)", std::move(arguments));
  co_return request_of(found.single().text(0));
}

boost::asio::awaitable<std::optional<boost::json::object>> execution_repository::next_rollback(
    postgres::connection& on) const {
  auto arguments = postgres::make_params(self_);
  const auto found = co_await on.query("select singularity.next_rollback($1)", std::move(arguments));
  co_return optional_object(found);
}

boost::asio::awaitable<bool> execution_repository::begin_rollback(postgres::connection& on,
                                                                  std::string rollback_id) const {
  auto arguments = postgres::make_params(self_, rollback_id);
  const auto found = co_await on.query("select singularity.begin_rollback($1, $2)", std::move(arguments));
  co_return found.single().get<bool>(0);
}

boost::asio::awaitable<earlier_step> execution_repository::begin_rollback_step(postgres::connection& on,
                                                                               rollback_place at,
                                                                               std::string name) const {
  auto arguments = postgres::make_params(self_, at.rollback_id, at.place, name);
  const auto found =
      co_await on.query("select singularity.begin_rollback_step($1, $2, $3::int, $4)", std::move(arguments));
  const auto journaled = optional_object(found);
  earlier_step earlier;
  if (journaled) earlier = earlier_in(*journaled);
  co_return earlier;
}

boost::asio::awaitable<void> execution_repository::finish_rollback_step(postgres::connection& on, rollback_place at,
                                                                        step_result result) const {
  const auto detail = base::storable(result.detail);
  auto arguments = postgres::make_params(self_, at.rollback_id, at.place, to_string(result.outcome), detail,
                                         result.duration.count());
  co_await on.query("select singularity.finish_rollback_step($1, $2, $3::int, $4, $5, $6)", std::move(arguments));
}

boost::asio::awaitable<void> execution_repository::postpone_rollback(postgres::connection& on, std::string rollback_id,
                                                                     std::chrono::milliseconds delay,
                                                                     boost::json::array steps) const {
  auto arguments = postgres::make_params(self_, rollback_id, delay.count(), steps);
  co_await on.query("select singularity.postpone_rollback($1, $2, $3, $4)", std::move(arguments));
}

boost::asio::awaitable<void> execution_repository::finish_rollback(postgres::connection& on,
                                                                   finished_rollback what) const {
  auto arguments = postgres::make_params(self_, what.rollback_id, what.completed, what.detail, what.steps,
                                         what.after.metrics, what.after.told_traceparent);
  co_await on.query("select singularity.finish_rollback($1, $2, $3, $4, $5, $6, $7)", std::move(arguments));
}

boost::asio::awaitable<bool> execution_repository::put_profile(postgres::connection& on,
                                                               boost::json::object update) const {
  const auto text = [&update](std::string_view name) { return std::string(update.at(name).as_string()); };
  auto arguments =
      postgres::make_params(self_, text("agent_type"), update.at("safety_profile"), text("source"), text("timestamp"));
  const auto found =
      co_await on.query("select singularity.put_safety_profile($1, $2, $3, $4, $5)", std::move(arguments));
  co_return found.single().get<bool>(0);
}

boost::asio::awaitable<boost::json::array> execution_repository::profiles(postgres::connection& on,
                                                                          std::optional<std::string> agent_type) const {
  auto arguments = postgres::make_params(self_, agent_type);
  const auto found = co_await on.query("select singularity.safety_profiles($1, $2)", std::move(arguments));
  boost::json::array all;
  for (const auto& row : found) all.push_back(row.get<boost::json::object>(0));
  co_return all;
}

}  // namespace fleet::agent::execution
