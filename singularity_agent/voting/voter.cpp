#include "singularity_agent/voting/voter.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "common/async/process.hpp"
#include "common/base/json.hpp"
#include "common/base/text.hpp"
#include "common/messages/reader.hpp"
#include "singularity_agent/database.hpp"
#include "singularity_agent/voting/policy_input.hpp"

namespace fleet::agent::voting {
namespace {

constexpr int max_command_attempts = 2;
constexpr std::chrono::seconds look_again{5};

base::error refusal(answer_outcome outcome, const base::proposal_id& proposal) {
  using base::error_kind;
  switch (outcome) {
    case answer_outcome::unknown:
      return base::make_error(error_kind::not_found, fmt::format("no vote is asked for on '{}'", proposal.str()));
    case answer_outcome::late:
      return base::make_error(error_kind::conflict, fmt::format("the vote on '{}' is over", proposal.str()));
    default:
      return base::make_error(
          error_kind::conflict,
          fmt::format("this instance has voted otherwise on '{}'; votes are final", proposal.str()));
  }
}

}  // namespace

ballot judge(const policy_settings& policy, const messages::voting_request& request) {
  return vote(policy, ballot_input_of(request));
}

base::result<ballot> parse_ballot(std::string_view text) {
  const auto object = base::parse_json_object(base::trim(text));
  if (!object) return object.error();
  messages::reader in(*object);
  ballot made;
  made.approve = messages::read_vote_choice(in) == messages::vote_choice::approve;
  made.confidence = in.number("confidence", messages::unit_range);
  made.reason = in.optional_text("reason", messages::free_text).value_or(std::string());
  if (!in.ok()) return in.error();
  return made;
}

voter::voter(postgres::pool& connections, producers& send, wake_ups& wake, telemetry::logger log,
             voter_settings settings)
    : connections_(connections),
      send_(send),
      wake_(wake),
      log_(std::move(log)),
      settings_(std::move(settings)),
      repository_(send.self()) {}

boost::asio::awaitable<void> voter::take(postgres::transaction& in, messages::voting_request request) {
  const auto opened = co_await repository_.open(in.on(), request.encode(), request.deadline);
  if (opened != opened_vote::waiting || settings_.mode != voter_mode::policy) co_return;
  const auto judged = judge(settings_.policy, request);
  vote_answer answer;
  answer.proposal = request.proposal_id;
  answer.choice = judged.approve ? messages::vote_choice::approve : messages::vote_choice::reject;
  answer.confidence = judged.confidence;
  answer.reason = judged.reason;
  answer.answered_by = "policy";
  co_await cast(in, std::move(answer));
}

boost::asio::awaitable<answer_outcome> voter::cast(postgres::transaction& in, vote_answer what) {
  messages::vote ballot_paper;
  ballot_paper.proposal_id = what.proposal;
  ballot_paper.choice = what.choice;
  ballot_paper.confidence = what.confidence;
  ballot_paper.reason = base::abbreviate(what.reason, messages::free_text.max);
  const auto proposal = what.proposal;
  const telemetry::labels counted{{"vote", std::string(messages::to_string(what.choice))}, {"by", what.answered_by}};
  const auto answered = co_await repository_.answer(in.on(), std::move(what));
  if (answered.outcome != answer_outcome::cast) co_return answered.outcome;
  ballot_paper.trace = base::child_of(answered.trace);
  const auto message = value_or_throw(co_await send_.cast_vote(in, std::move(ballot_paper)));
  co_await repository_.mark_cast(in.on(), proposal, message);
  in.on_commit([this, counted] { send_.registry().counter_of("singularity_votes_total", counted).increment(); });
  co_return answered.outcome;
}

boost::asio::awaitable<base::result<void>> voter::vote(postgres::transaction& in, vote_answer what) {
  const auto proposal = what.proposal;
  const auto outcome = co_await cast(in, std::move(what));
  if (outcome == answer_outcome::cast || outcome == answer_outcome::same) co_return base::result<void>();
  co_return refusal(outcome, proposal);
}

boost::asio::awaitable<void> voter::run_command(async::stop_token stop, std::function<void()> turned) {
  while (!stop.soft_requested()) {
    turned();
    const auto answered = co_await answer_next(stop);
    if (!answered) co_await wake_.votes.wait_for(look_again, stop);
  }
}

boost::asio::awaitable<bool> voter::answer_next(async::stop_token stop) {
  std::optional<boost::json::object> request;
  {
    auto connection = co_await connections_.acquire(connection_wait);
    request = co_await repository_.next(*connection, max_command_attempts);
  }
  if (!request) co_return false;
  vote_answer answer;
  answer.proposal = base::proposal_id(std::string(request->at("proposal_id").as_string()));
  answer.answered_by = "command";
  const auto said = co_await ask_command(std::move(*request), stop);
  if (stop.hard_requested()) co_return false;
  if (!said) {
    log_.warning("voter_command_failed", said.error().message, {{"proposal_id", answer.proposal}});
    auto connection = co_await connections_.acquire(connection_wait);
    // Whatever the command said: the database takes no malformed text, and an attempt that is not counted is made
    // again.
    co_await repository_.fail(*connection, answer.proposal, base::tail_of(said.error().message, 1000));
    co_return true;
  }
  answer.choice = said->approve ? messages::vote_choice::approve : messages::vote_choice::reject;
  answer.confidence = said->confidence;
  answer.reason = said->reason;
  const auto cast_it = [&](postgres::transaction& in) { return cast(in, answer); };
  co_await transact(connections_, cast_it);
  co_return true;
}

boost::asio::awaitable<base::result<ballot>> voter::ask_command(boost::json::object request, async::stop_token stop) {
  const auto remaining = std::chrono::milliseconds(request.at("remaining_ms").to_number<std::int64_t>());
  request.erase("remaining_ms");
  async::process_spec spec;
  spec.shell_command = settings_.command;
  spec.stdin_text = base::write_json(request) + "\n";
  spec.timeout = std::max(std::min(settings_.command_timeout, remaining), std::chrono::milliseconds(1));
  spec.max_output_bytes = 64U * 1024;
  spec.environment["INSTANCE_ID"] = send_.self().str();
  spec.stop = stop;
  const auto ended = co_await async::run_process(std::move(spec));
  if (!ended.ok()) {
    co_return base::make_error(base::error_kind::unavailable, "voter.command: " + ended.failure());
  }
  auto said = parse_ballot(ended.standard_output);
  if (!said) {
    const auto text = fmt::format("voter.command: {}", said.error().message);
    co_return base::make_error(base::error_kind::invalid_input, text);
  }
  co_return std::move(said);
}

}  // namespace fleet::agent::voting
