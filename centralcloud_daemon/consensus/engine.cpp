#include "centralcloud_daemon/consensus/engine.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include "centralcloud_daemon/patterns/similarity.hpp"
#include "common/async/blocking_pool.hpp"
#include "common/base/json.hpp"
#include "common/messages/proposal_metadata.hpp"
#include "common/messages/voting_request.hpp"

namespace fleet::central::consensus {
namespace {

using quantumflow::outcome;

/// How many confirmed changes a new one is compared with; the newest say most.
constexpr int max_compared = 200;

std::optional<std::string> change_type_of(const messages::proposal_for_consensus& proposal) {
  if (!proposal.metadata) return std::nullopt;
  auto type = messages::change_type_of(*proposal.metadata);
  if (type.empty()) return std::nullopt;
  return type;
}

messages::voting_request request_for(const messages::proposal_for_consensus& proposal, base::timestamp deadline) {
  messages::voting_request request;
  request.proposal_id = proposal.proposal_id;
  request.instance_id = proposal.instance_id;
  request.agent_type = proposal.agent_type;
  request.code_change = proposal.code_change;
  request.impact_score = proposal.impact_score;
  request.risk_score = proposal.risk_score;
  request.profile = proposal.profile;
  if (proposal.metadata) request.metadata = *proposal.metadata;
  request.deadline = deadline;
  request.trace = base::child_of(proposal.trace);
  return request;
}

messages::consensus_result result_of(const base::proposal_id& proposal, const decision& made,
                                     recorded_decision recorded) {
  messages::consensus_result result;
  result.proposal_id = proposal;
  result.instance_id = recorded.proposer;
  result.status = made.state == decision_state::approved ? messages::consensus_status::approved
                                                         : messages::consensus_status::rejected;
  for (const auto& vote : recorded.votes) result.votes.emplace(vote.instance_id.str(), vote.choice);
  result.confidence = made.confidence;
  result.decision_rationale = made.rationale;
  result.rule = std::string(to_string(made.rule));
  result.vote_details = std::move(recorded.votes);
  result.trace = base::child_of(recorded.trace);
  return result;
}

/// Whether voters will take it: what they are asked is longer than the proposal, and their limit is the same.
bool fits(const messages::voting_request& request) {
  return base::write_json(request.encode()).size() <= base::json_limits().max_bytes;
}

struct refusal {
  std::string rule;
  std::string rationale;
};

/// To an instance that waits for a decision about a proposal which is not looked at.
messages::consensus_result refusal_of(const messages::proposal_for_consensus& proposal, refusal why) {
  messages::consensus_result result;
  result.proposal_id = proposal.proposal_id;
  result.instance_id = proposal.instance_id;
  result.status = messages::consensus_status::rejected;
  result.decision_rationale = why.rule + ": " + why.rationale;
  result.rule = std::move(why.rule);
  result.trace = base::child_of(proposal.trace);
  return result;
}

}  // namespace

boost::asio::awaitable<outcome> engine::receive_proposal(postgres::transaction& open,
                                                         messages::proposal_for_consensus proposal) {
  // Whoever proposes by SQL, or with an older agent, has none.
  if (!proposal.trace) proposal.trace = base::trace_context::begin();
  const auto trace_id = base::trace_id_of(proposal.trace);
  const auto asked = request_for(proposal, out_.now());
  const auto received = co_await consensus::receive_proposal(open, proposal, fits(asked));
  switch (received.what) {
    case reception::same:
      log_.info("proposal_repeated", "the same proposal again",
                {{"proposal_id", proposal.proposal_id}, {"trace_id", trace_id}});
      co_return outcome::done();
    case reception::conflict:
      co_return outcome::rejected("conflict: proposal \"" + proposal.proposal_id.str() +
                                  "\" is known with other content");
    case reception::taken: {
      // Its proposer waits for a decision, and there will be none: the one about that id goes to the other instance.
      refusal why{"conflict", "another instance has proposed something under this proposal_id before"};
      auto refused = refusal_of(proposal, std::move(why));
      or_throw(co_await out_.send_consensus_result(open, std::move(refused)));
      co_return outcome::rejected("conflict: proposal \"" + proposal.proposal_id.str() + "\" is another instance's");
    }
    case reception::too_large: {
      refusal why{"too_large", "with what is added to it for the voters, it is larger than a message may be"};
      auto refused = refusal_of(proposal, std::move(why));
      or_throw(co_await out_.send_consensus_result(open, std::move(refused)));
      co_return outcome::rejected("too large: no voting_request can be made of proposal \"" +
                                  proposal.proposal_id.str() + "\"");
    }
    case reception::fresh:
      break;
  }
  co_await decide_or_open(open, proposal, received.profile);
  co_return outcome::done();
}

boost::asio::awaitable<void> engine::decide_or_open(postgres::transaction& open,
                                                    const messages::proposal_for_consensus& proposal,
                                                    const messages::safety_profile& profile) {
  auto at_once = co_await without_vote(open, proposal, profile);
  if (at_once) {
    co_await carry_out(open, proposal.proposal_id, std::move(*at_once));
    co_return;
  }
  co_await open_or_wait(open, proposal);
}

vote_opening engine::opening() const {
  vote_opening how;
  how.timeout = settings_.voting_timeout;
  how.heartbeat_timeout = settings_.heartbeat_timeout;
  how.proposer_may_vote = settings_.proposer_may_vote;
  how.min_voters = settings_.rules.min_votes;
  how.voters_wait = settings_.voters_wait;
  return how;
}

boost::asio::awaitable<void> engine::open_or_wait(postgres::transaction& open,
                                                  const messages::proposal_for_consensus& proposal) {
  const auto trace_id = base::trace_id_of(proposal.trace);
  auto how = opening();
  how.proposal = proposal.proposal_id;
  const auto opened = co_await open_vote(open, std::move(how));
  if (!opened.deadline) {
    log_.info("waiting_for_voters", "too few voters are present; the vote opens when there are enough",
              {{"proposal_id", proposal.proposal_id}, {"trace_id", trace_id}, {"present", opened.electorate_size}});
    co_return;
  }
  auto request = request_for(proposal, *opened.deadline);
  if (fits(request)) {
    or_throw(co_await out_.send_voting_request(open, std::move(request)));
  } else {
    // Numbers may be longer as the database writes them. Nobody is asked, so the deadline rejects it.
    log_.error("voting_request_too_large", "the voters cannot be asked about a proposal: it is too large",
               {{"proposal_id", proposal.proposal_id}, {"trace_id", trace_id}});
  }
  const auto required = required_votes(settings_.rules, opened.electorate_size);
  log_.info("vote_opened", "vote opened",
            {{"proposal_id", proposal.proposal_id},
             {"trace_id", trace_id},
             {"electorate", opened.electorate_size},
             {"required", required}});
  if (opened.electorate_size < required) {
    log_.warning("electorate_too_small", "fewer voters than votes required: only a veto or the deadline can decide",
                 {{"proposal_id", proposal.proposal_id},
                  {"trace_id", trace_id},
                  {"electorate", opened.electorate_size},
                  {"required", required}});
  }
}

boost::asio::awaitable<bool> engine::open_due(postgres::transaction& open, timed_piece& piece) {
  auto how = opening();
  const auto waiting = co_await take_waiting_proposal(open, std::move(how), piece);
  if (!waiting) co_return false;
  co_await open_or_wait(open, *waiting);
  co_return true;
}

boost::asio::awaitable<std::optional<decision>> engine::without_vote(postgres::transaction& open,
                                                                     const messages::proposal_for_consensus& proposal,
                                                                     const messages::safety_profile& profile) {
  candidate known;
  known.needs_consensus = profile.needs_consensus;
  known.risk_score = proposal.risk_score;
  known.risk_bound = profile.max_risk_score;
  if (settings_.rules.auto_approve && proposal.risk_score <= settings_.rules.always_vote_above) {
    comparable like_it;
    like_it.agent_type = proposal.agent_type;
    like_it.change_type = change_type_of(proposal);
    like_it.max_bytes = patterns::max_compared_bytes;
    like_it.max = max_compared;
    auto history = co_await confirmed_code_changes(open, std::move(like_it));
    known.confirmed_history = history.total;
    // Comments are kept: what looks like one may be code in the change's own language.
    auto compare = [code = boost::json::serialize(proposal.code_change), others = std::move(history.code_changes)] {
      return patterns::best_similarity(code, others, patterns::comments::keep);
    };
    known.best_similarity = co_await async::run_blocking(std::move(compare));
  }
  co_return before_voting(settings_.rules, known);
}

decision engine::judge(const question& about) const {
  std::vector<counted_vote> votes;
  votes.reserve(about.votes.size());
  for (const auto& vote : about.votes) {
    counted_vote counted;
    counted.instance_id = vote.instance_id.str();
    counted.approve = vote.choice == messages::vote_choice::approve;
    counted.confidence = vote.confidence;
    votes.push_back(std::move(counted));
  }
  tally all;
  all.votes = votes;
  all.electorate_size = about.electorate_size;
  all.deadline_passed = about.deadline_passed;
  return evaluate(settings_.rules, all);
}

boost::asio::awaitable<outcome> engine::receive_vote(postgres::transaction& open, messages::vote vote) {
  const auto recorded = co_await record_vote(open, vote);
  const auto trace_id = base::trace_id_of(vote.trace);
  if (recorded.what != vote_reception::unknown_proposal && recorded.what != vote_reception::same) {
    const telemetry::labels with{{"vote", std::string(messages::to_string(vote.choice))},
                                 {"disposition", std::string(to_string(recorded.what))}};
    open.on_commit([this, with] { out_.registry().counter_of("centralcloud_votes_total", with).increment(); });
  }
  switch (recorded.what) {
    case vote_reception::unknown_proposal:
      co_return outcome::rejected("unknown proposal \"" + vote.proposal_id.str() + "\"");
    case vote_reception::same:
      co_return outcome::done();
    case vote_reception::different:
      log_.warning("second_vote_refused", "a vote is final: a different second one was refused",
                   {{"proposal_id", vote.proposal_id}, {"trace_id", trace_id}, {"instance_id", vote.instance_id}});
      co_return outcome::done();
    case vote_reception::not_in_electorate:
    case vote_reception::after_decision:
      log_.info("vote_not_counted", "recorded, not counted",
                {{"proposal_id", vote.proposal_id},
                 {"trace_id", trace_id},
                 {"instance_id", vote.instance_id},
                 {"cause", to_string(recorded.what)}});
      co_return outcome::done();
    case vote_reception::counted:
      break;
  }
  const question about{vote.proposal_id, recorded.votes, recorded.electorate_size, false};
  auto made = judge(about);
  if (made.state != decision_state::undecided) co_await carry_out(open, vote.proposal_id, std::move(made));
  co_return outcome::done();
}

boost::asio::awaitable<bool> engine::decide_due(postgres::transaction& open, timed_piece& piece) {
  const auto due = co_await take_due_vote(open, piece);
  if (!due) co_return false;
  const question about{due->proposal, due->votes, due->electorate_size, true};
  auto made = judge(about);
  co_await carry_out(open, due->proposal, std::move(made));
  co_return true;
}

boost::asio::awaitable<void> engine::carry_out(postgres::transaction& open, base::proposal_id proposal, decision made) {
  auto recorded = co_await record_decision(open, proposal, made);
  if (!recorded) co_return;  // the lock makes this impossible, and the key would stop it
  auto result = result_of(proposal, made, std::move(*recorded));
  or_throw(co_await out_.send_consensus_result(open, std::move(result)));
}

}  // namespace fleet::central::consensus
