#include "singularity_agent/proposals/proposal_repository.hpp"

#include <boost/json/value_to.hpp>

namespace fleet::agent::proposals {
namespace {

submit_outcome outcome_of(std::string_view text) {
  if (text == "created") return submit_outcome::created;
  if (text == "same") return submit_outcome::same;
  if (text == "full") return submit_outcome::full;
  return submit_outcome::other;
}

decision_outcome decision_of(std::string_view text) {
  if (text == "recorded") return decision_outcome::recorded;
  if (text == "repeated") return decision_outcome::repeated;
  if (text == "unsent") return decision_outcome::unsent;
  return decision_outcome::unknown;
}

std::optional<boost::json::object> optional_object(const postgres::rows& found) {
  if (found.empty()) return std::nullopt;
  return found[0].get<std::optional<boost::json::object>>(0);
}

}  // namespace

boost::asio::awaitable<submit_answer> proposal_repository::submit(postgres::connection& on,
                                                                  boost::json::object proposal, int max_pending) const {
  auto arguments = postgres::make_params(self_, proposal, max_pending);
  const auto found = co_await on.query("select singularity.submit($1, $2, $3)", std::move(arguments));
  auto object = found.single().get<boost::json::object>(0);
  submit_answer answer;
  answer.outcome = outcome_of(object.at("outcome").as_string());
  if (auto* summary = object.if_contains("proposal")) answer.proposal = std::move(summary->as_object());
  co_return answer;
}

boost::asio::awaitable<std::vector<pending_proposal>> proposal_repository::pending(postgres::connection& on,
                                                                                   int max) const {
  auto arguments = postgres::make_params(self_, max);
  const auto found = co_await on.query("select * from singularity.pending($1, $2)", std::move(arguments));
  std::vector<pending_proposal> all;
  all.reserve(found.size());
  for (const auto& row : found) {
    pending_proposal one;
    one.proposal_id = row.get<std::string>("proposal_id");
    one.agent_type = row.get<std::string>("agent_type");
    one.impact = row.get<base::decimal>("impact_score");
    one.risk = row.get<base::decimal>("risk_score");
    one.submitted = row.get<base::timestamp>("submitted_at");
    one.waiting = std::chrono::milliseconds(row.get<std::int64_t>("waiting_ms"));
    all.push_back(std::move(one));
  }
  co_return all;
}

boost::asio::awaitable<std::int64_t> proposal_repository::in_flight(postgres::connection& on) const {
  auto arguments = postgres::make_params(self_);
  const auto found = co_await on.query("select singularity.in_flight($1)", std::move(arguments));
  co_return found.single().get<std::int64_t>(0);
}

boost::asio::awaitable<std::map<std::string, track_record>> proposal_repository::track_records(
    postgres::connection& on) const {
  auto arguments = postgres::make_params(self_, track_record_length);
  const auto found = co_await on.query("select * from singularity.track_records($1, $2::int)", std::move(arguments));
  std::map<std::string, track_record> records;
  for (const auto& row : found) {
    records[row.get<std::string>("agent_type")] =
        track_record{row.get<std::int64_t>("ended"), row.get<std::int64_t>("succeeded")};
  }
  co_return records;
}

boost::asio::awaitable<std::optional<boost::json::object>> proposal_repository::find(postgres::connection& on,
                                                                                     base::proposal_id id) const {
  auto arguments = postgres::make_params(self_, id);
  const auto found = co_await on.query("select singularity.find_proposal($1, $2)", std::move(arguments));
  co_return optional_object(found);
}

boost::asio::awaitable<void> proposal_repository::mark_sent(postgres::connection& on, sent_proposal what) const {
  auto arguments = postgres::make_params(self_, what.id, what.priority, what.message);
  co_await on.query("select singularity.mark_sent($1, $2, $3, $4)", std::move(arguments));
}

boost::asio::awaitable<bool> proposal_repository::refuse(postgres::connection& on, base::proposal_id id,
                                                         std::string why) const {
  auto arguments = postgres::make_params(self_, id, why);
  const auto found = co_await on.query("select singularity.refuse_proposal($1, $2, $3)", std::move(arguments));
  co_return found.single().get<bool>(0);
}

boost::asio::awaitable<decision_outcome> proposal_repository::record_decision(postgres::connection& on,
                                                                              base::proposal_id id,
                                                                              boost::json::object decision) const {
  auto arguments = postgres::make_params(self_, id, decision);
  const auto found = co_await on.query("select singularity.record_decision($1, $2, $3)", std::move(arguments));
  co_return decision_of(found.single().text(0));
}

boost::asio::awaitable<boost::json::array> proposal_repository::list(postgres::connection& on, list_query what) const {
  auto arguments = postgres::make_params(self_, what.status, what.limit, what.after);
  const auto found = co_await on.query("select singularity.list_proposals($1, $2, $3, $4)", std::move(arguments));
  boost::json::array all;
  for (const auto& row : found) all.push_back(row.get<boost::json::object>(0));
  co_return all;
}

boost::asio::awaitable<std::optional<boost::json::object>> proposal_repository::story(postgres::connection& on,
                                                                                      base::proposal_id id) const {
  auto arguments = postgres::make_params(self_, id);
  const auto found = co_await on.query("select singularity.story($1, $2)", std::move(arguments));
  co_return optional_object(found);
}

boost::asio::awaitable<step_page> proposal_repository::steps_since(postgres::connection& on,
                                                                   std::optional<std::string> since) const {
  auto arguments = postgres::make_params(self_, since);
  const auto found =
      co_await on.query("select * from singularity.steps_since($1, $2::pg_snapshot)", std::move(arguments));
  const auto row = found.single();
  step_page page;
  page.next_since = row.get<std::string>("next_since");
  page.steps = row.get<boost::json::value>("steps").as_array();
  co_return page;
}

boost::asio::awaitable<std::map<std::string, std::int64_t>> proposal_repository::depths(
    postgres::connection& on) const {
  auto arguments = postgres::make_params(self_);
  const auto found = co_await on.query("select * from singularity.depths($1)", std::move(arguments));
  std::map<std::string, std::int64_t> counts;
  for (const auto& row : found) counts[row.get<std::string>("status")] = row.get<std::int64_t>("proposals");
  co_return counts;
}

}  // namespace fleet::agent::proposals
