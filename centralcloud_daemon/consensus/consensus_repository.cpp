#include "centralcloud_daemon/consensus/consensus_repository.hpp"

#include <array>
#include <boost/json/array.hpp>
#include <string_view>
#include <utility>

#include "common/base/error.hpp"
#include "common/messages/reader.hpp"

namespace fleet::central::consensus {
namespace {

[[noreturn]] void unexpected(std::string_view word) {
  throw base::failure(base::make_error(base::error_kind::internal, "unexpected answer: " + std::string(word)));
}

std::vector<messages::vote_detail> read_votes(const boost::json::value& json) {
  std::vector<messages::vote_detail> votes;
  for (const auto& each : json.as_array()) {
    messages::reader in(each.as_object());
    messages::vote_detail vote;
    vote.instance_id = in.instance_id();
    vote.choice = messages::read_vote_choice(in);
    vote.confidence = in.number("confidence", messages::unit_range);
    vote.reason = in.text("reason", messages::free_text);
    vote.voted_at = in.time("voted_at");
    if (!in.ok()) throw base::failure(in.error());
    votes.push_back(std::move(vote));
  }
  return votes;
}

constexpr std::array<std::pair<vote_reception, std::string_view>, 6> vote_receptions = {
    {{vote_reception::counted, "counted"},
     {vote_reception::not_in_electorate, "not_in_electorate"},
     {vote_reception::after_decision, "after_decision"},
     {vote_reception::same, "same"},
     {vote_reception::different, "different"},
     {vote_reception::unknown_proposal, "unknown_proposal"}}};

vote_reception read_vote_reception(std::string_view word) {
  for (const auto& [known, name] : vote_receptions)
    if (name == word) return known;
  unexpected(word);
}

reception read_reception(std::string_view word) {
  if (word == "new") return reception::fresh;
  if (word == "same") return reception::same;
  if (word == "conflict") return reception::conflict;
  if (word == "taken") return reception::taken;
  if (word == "too_large") return reception::too_large;
  unexpected(word);
}

}  // namespace

std::string_view to_string(vote_reception what) {
  for (const auto& [known, name] : vote_receptions)
    if (known == what) return name;
  return "unknown";
}

boost::asio::awaitable<received_proposal> receive_proposal(postgres::transaction& open,
                                                           messages::proposal_for_consensus proposal, bool fits) {
  auto args = postgres::make_params(proposal.encode(), fits);
  const auto answer =
      co_await open.query("select disposition, profile from centralcloud.receive_proposal($1, $2)", std::move(args));
  const auto row = answer.single();
  received_proposal received;
  received.what = read_reception(row.text("disposition"));
  if (received.what == reception::fresh) {
    const auto profile = row.get<boost::json::object>("profile");
    received.profile = messages::safety_profile::read(messages::reader(profile));
  }
  co_return received;
}

boost::asio::awaitable<opened_vote> open_vote(postgres::transaction& open, vote_opening how) {
  auto args = postgres::make_params(how.proposal, how.timeout.count(), how.heartbeat_timeout.count(),
                                    how.proposer_may_vote, how.min_voters, how.voters_wait.count());
  const auto answer = co_await open.query(
      "select deadline, electorate_size from centralcloud.open_vote($1, $2, $3, $4, $5, $6)", std::move(args));
  const auto row = answer.single();
  opened_vote opened;
  opened.deadline = row.get<std::optional<base::timestamp>>("deadline");
  opened.electorate_size = row.get<std::int64_t>("electorate_size");
  co_return opened;
}

boost::asio::awaitable<std::optional<messages::proposal_for_consensus>> take_waiting_proposal(
    postgres::transaction& open, vote_opening how, timed_piece& piece) {
  auto args = postgres::make_params(how.heartbeat_timeout.count(), how.proposer_may_vote, how.min_voters,
                                    how.voters_wait.count(), piece.skipped);
  const auto answer = co_await open.query(
      "select body ->> 'proposal_id' as id, body from centralcloud.take_waiting_proposal($1, $2, $3, $4, $5) body"
      " where body is not null",
      std::move(args));
  if (answer.empty()) co_return std::nullopt;
  piece.in_hand = answer.single().get<base::proposal_id>("id");
  const auto body = answer.single().get<boost::json::object>("body");
  co_return messages::proposal_for_consensus::decode(body).value();
}

boost::asio::awaitable<recorded_vote> record_vote(postgres::transaction& open, messages::vote vote) {
  auto args = postgres::make_params(vote.proposal_id, vote.instance_id, messages::to_string(vote.choice),
                                    vote.confidence, vote.reason, vote.timestamp);
  const auto answer = co_await open.query(
      "select disposition, electorate_size, votes from centralcloud.record_vote($1, $2, $3, $4, $5, $6)",
      std::move(args));
  const auto row = answer.single();
  recorded_vote recorded;
  recorded.what = read_vote_reception(row.text("disposition"));
  if (recorded.what == vote_reception::counted) {
    recorded.electorate_size = row.get<std::int64_t>("electorate_size");
    recorded.votes = read_votes(row.get<boost::json::value>("votes"));
  }
  co_return recorded;
}

boost::asio::awaitable<std::optional<due_vote>> take_due_vote(postgres::transaction& open, timed_piece& piece) {
  auto args = postgres::make_params(piece.skipped);
  const auto answer = co_await open.query(
      "select proposal_id, electorate_size, votes from centralcloud.take_due_vote($1)", std::move(args));
  if (answer.empty()) co_return std::nullopt;
  const auto row = answer.single();
  due_vote due;
  due.proposal = row.get<base::proposal_id>("proposal_id");
  piece.in_hand = due.proposal;
  due.electorate_size = row.get<std::int64_t>("electorate_size");
  due.votes = read_votes(row.get<boost::json::value>("votes"));
  co_return due;
}

boost::asio::awaitable<std::optional<recorded_decision>> record_decision(postgres::transaction& open,
                                                                         base::proposal_id proposal, decision made) {
  auto args = postgres::make_params(proposal, to_string(made.state), to_string(made.rule), made.rationale,
                                    made.confidence, std::string_view("centralcloud"));
  const auto answer = co_await open.query(
      "select instance_id, votes, traceparent from centralcloud.decide($1, $2, $3, $4, $5, $6)", std::move(args));
  if (answer.empty()) co_return std::nullopt;
  const auto row = answer.single();
  recorded_decision recorded;
  recorded.proposer = row.get<base::instance_id>("instance_id");
  recorded.votes = read_votes(row.get<boost::json::value>("votes"));
  const auto trace = row.get<std::optional<std::string>>("traceparent");
  if (trace) recorded.trace = base::trace_context::parse(*trace);
  co_return recorded;
}

boost::asio::awaitable<confirmed_changes> confirmed_code_changes(postgres::transaction& open, comparable of) {
  auto args = postgres::make_params(of.agent_type, of.change_type, static_cast<std::int64_t>(of.max_bytes), of.max);
  const auto answer = co_await open.query(
      "select code_change, total from centralcloud.confirmed_code_changes($1, $2, $3, $4)", std::move(args));
  confirmed_changes found;
  for (const auto& row : answer) {
    auto code = row.get<std::optional<std::string>>("code_change");
    if (code) found.code_changes.push_back(std::move(*code));
    found.total = row.get<std::int64_t>("total");
  }
  co_return found;
}

}  // namespace fleet::central::consensus
