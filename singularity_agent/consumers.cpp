#include "singularity_agent/consumers.hpp"

#include <fmt/format.h>

#include "common/messages/queues.hpp"

namespace fleet::agent {
namespace {

using quantumflow::outcome;

outcome not_ours(const base::instance_id& addressed) {
  return outcome::rejected(fmt::format("instance_id: the message is for '{}'", addressed.str()));
}

outcome unknown(const base::proposal_id& proposal) {
  return outcome::rejected(fmt::format("proposal_id: there is no proposal '{}' here", proposal.str()));
}

}  // namespace

consumers::answer consumers::handle_consensus_result(postgres::transaction& in,
                                                     const messages::consensus_result& result,
                                                     const quantumflow::message&) {
  if (result.instance_id != self()) co_return not_ours(result.instance_id);
  const auto recorded = co_await with_.proposals.record_decision(in.on(), result.proposal_id, result.encode());
  switch (recorded) {
    case proposals::decision_outcome::unknown:
      co_return unknown(result.proposal_id);
    case proposals::decision_outcome::unsent:
      co_return outcome::rejected(
          fmt::format("proposal_id: '{}' has not been sent for consensus", result.proposal_id.str()));
    case proposals::decision_outcome::repeated:
      with_.log.debug("decision_repeated", "decided before",
                      {{"proposal_id", result.proposal_id}, {"trace_id", base::trace_id_of(result.trace)}});
      co_return outcome::done();
    case proposals::decision_outcome::recorded:
      break;
  }
  in.on_commit([this, result] {
    const auto approved = result.status == messages::consensus_status::approved;
    with_.events.count(approved ? telemetry::event::consensus_approved : telemetry::event::consensus_rejected,
                       result.decision_rationale,
                       {{"proposal_id", result.proposal_id},
                        {"trace_id", base::trace_id_of(result.trace)},
                        {"rule", result.rule.value_or("")}});
  });
  co_return outcome::done();
}

consumers::answer consumers::handle_rollback_trigger(postgres::transaction& in,
                                                     const messages::rollback_trigger& trigger,
                                                     const quantumflow::message&) {
  if (trigger.instance_id != self()) co_return not_ours(trigger.instance_id);
  const auto requested = co_await with_.executions.request_rollback(in.on(), trigger);
  switch (requested) {
    case execution::rollback_request::unknown:
      co_return unknown(trigger.proposal_id);
    case execution::rollback_request::nothing_applied:
      co_return outcome::rejected(fmt::format("proposal_id: '{}' has not been approved: there is nothing to take back",
                                              trigger.proposal_id.str()));
    case execution::rollback_request::requested:
      with_.log.warning("rollback_requested", trigger.reason,
                        {{"proposal_id", trigger.proposal_id}, {"trace_id", base::trace_id_of(trigger.trace)}});
      break;
    case execution::rollback_request::repeated:
    case execution::rollback_request::ended:
      with_.log.info("rollback_needless", "rolled back or ended before",
                     {{"proposal_id", trigger.proposal_id}, {"trace_id", base::trace_id_of(trigger.trace)}});
      break;
  }
  co_return outcome::done();
}

consumers::answer consumers::handle_safety_profile_update(postgres::transaction& in,
                                                          const messages::safety_profile_update& update,
                                                          const quantumflow::message&) {
  if (update.instance_id != self() && update.instance_id.str() != messages::broadcast_instance)
    co_return not_ours(update.instance_id);
  const auto taken = co_await with_.executions.put_profile(in.on(), update.encode());
  if (taken) {
    in.on_commit([this, agent_type = update.agent_type, source = update.source] {
      with_.events.count(telemetry::event::profile_updated, "safety profile updated",
                         {{"agent_type", agent_type}, {"source", source}});
    });
  }
  co_return outcome::done();
}

consumers::answer consumers::handle_voting_request(postgres::transaction& in, const messages::voting_request& request,
                                                   const quantumflow::message&) {
  co_await with_.votes.take(in, request);
  co_return outcome::done();
}

consumers::answer consumers::handle_consensus_pattern(postgres::transaction& in,
                                                      const messages::consensus_pattern& pattern,
                                                      const quantumflow::message&) {
  co_await with_.patterns.put(in.on(), pattern);
  in.on_commit([this, id = pattern.pattern_id, trace_id = base::trace_id_of(pattern.trace)] {
    with_.log.info("pattern_taken", "a pattern that the fleet confirmed is known here",
                   {{"pattern_id", id}, {"trace_id", trace_id}});
  });
  co_return outcome::done();
}

std::vector<consumers::subscription> consumers::subscriptions() {
  using message = quantumflow::message;
  auto& wake = with_.wake;
  const auto decided = [&wake](const message&, const outcome&) {
    wake.execution.notify();
    wake.dispatch.notify();  // a decision makes room for the next proposal
    wake.step_taken();
  };
  const auto asked = [&wake](const message&, const outcome&) { wake.votes.notify(); };
  const auto triggered = [&wake](const message&, const outcome&) { wake.rollback.notify(); };
  const auto bound = [this](auto handle) {
    return [this, handle](postgres::transaction& in, const auto& what, const message& from) {
      return (this->*handle)(in, what, from);
    };
  };
  namespace queues = messages::queues;
  std::vector<subscription> all;
  all.push_back({queues::consensus_results,
                 quantumflow::handle_each<messages::consensus_result>(bound(&consumers::handle_consensus_result)),
                 decided});
  all.push_back({queues::rollback_triggers,
                 quantumflow::handle_each<messages::rollback_trigger>(bound(&consumers::handle_rollback_trigger)),
                 triggered});
  all.push_back(
      {queues::guardian_safety_profiles,
       quantumflow::handle_each<messages::safety_profile_update>(bound(&consumers::handle_safety_profile_update)),
       {}});
  all.push_back({queues::voting_requests,
                 quantumflow::handle_each<messages::voting_request>(bound(&consumers::handle_voting_request)), asked});
  all.push_back({queues::consensus_patterns,
                 quantumflow::handle_each<messages::consensus_pattern>(bound(&consumers::handle_consensus_pattern)),
                 {}});
  return all;
}

}  // namespace fleet::agent
