#include "singularity_agent/voting/vote_repository.hpp"

namespace fleet::agent::voting {
namespace {

opened_vote opened_of(std::string_view text) {
  if (text == "waiting") return opened_vote::waiting;
  return text == "late" ? opened_vote::late : opened_vote::answered;
}

answer_outcome outcome_of(std::string_view text) {
  if (text == "cast") return answer_outcome::cast;
  if (text == "same") return answer_outcome::same;
  if (text == "other") return answer_outcome::other;
  return text == "late" ? answer_outcome::late : answer_outcome::unknown;
}

}  // namespace

boost::asio::awaitable<opened_vote> vote_repository::open(postgres::connection& on, boost::json::object request,
                                                          base::timestamp deadline) const {
  auto arguments = postgres::make_params(self_, request, deadline);
  const auto found = co_await on.query("select singularity.open_vote($1, $2, $3)", std::move(arguments));
  co_return opened_of(found.single().text(0));
}

boost::asio::awaitable<answered_vote> vote_repository::answer(postgres::connection& on, vote_answer what) const {
  auto arguments = postgres::make_params(self_, what.proposal, messages::to_string(what.choice), what.confidence,
                                         what.reason, what.answered_by);
  const auto found = co_await on.query(
      "select outcome, traceparent from singularity.answer_vote($1, $2, $3, $4, $5, $6)", std::move(arguments));
  const auto row = found.single();
  answered_vote answered;
  answered.outcome = outcome_of(row.text("outcome"));
  const auto trace = row.get<std::optional<std::string>>("traceparent");
  if (trace) answered.trace = base::trace_context::parse(*trace);
  co_return answered;
}

boost::asio::awaitable<void> vote_repository::mark_cast(postgres::connection& on, base::proposal_id proposal,
                                                        base::message_id message) const {
  auto arguments = postgres::make_params(self_, proposal, message);
  co_await on.query("select singularity.mark_vote_cast($1, $2, $3)", std::move(arguments));
}

boost::asio::awaitable<boost::json::array> vote_repository::waiting(postgres::connection& on, int max) const {
  auto arguments = postgres::make_params(self_, max);
  const auto found = co_await on.query("select singularity.waiting_votes($1, $2)", std::move(arguments));
  boost::json::array all;
  for (const auto& row : found) all.push_back(row.get<boost::json::object>(0));
  co_return all;
}

boost::asio::awaitable<std::optional<boost::json::object>> vote_repository::next(postgres::connection& on,
                                                                                 int max_attempts) const {
  auto arguments = postgres::make_params(self_, max_attempts);
  const auto found = co_await on.query("select singularity.next_vote($1, $2)", std::move(arguments));
  if (found.empty()) co_return std::nullopt;
  co_return found[0].get<std::optional<boost::json::object>>(0);
}

boost::asio::awaitable<void> vote_repository::fail(postgres::connection& on, base::proposal_id proposal,
                                                   std::string problem) const {
  auto arguments = postgres::make_params(self_, proposal, problem);
  co_await on.query("select singularity.fail_vote($1, $2, $3)", std::move(arguments));
}

}  // namespace fleet::agent::voting
