// What the agent receives: one handler a message, each idempotent, each in the transaction that acknowledges it.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <string_view>
#include <vector>

#include "common/messages/consensus_pattern.hpp"
#include "common/messages/consensus_result.hpp"
#include "common/messages/rollback_trigger.hpp"
#include "common/messages/safety_profile_update.hpp"
#include "common/messages/voting_request.hpp"
#include "common/quantumflow/consumer.hpp"
#include "common/telemetry/events.hpp"
#include "common/telemetry/log.hpp"
#include "singularity_agent/execution/execution_repository.hpp"
#include "singularity_agent/patterns/pattern_repository.hpp"
#include "singularity_agent/proposals/proposal_repository.hpp"
#include "singularity_agent/voting/voter.hpp"
#include "singularity_agent/wake_ups.hpp"

namespace fleet::agent {

/// A message that makes no sense here (an unknown proposal, another instance's) is rejected with the reason; one that
/// was handled before is done again without effect. For the loop's thread; everything passed by reference must outlive
/// it.
class consumers {
 public:
  struct parts {
    const proposals::proposal_repository& proposals;
    const execution::execution_repository& executions;
    const patterns::pattern_repository& patterns;
    voting::voter& votes;
    telemetry::event_counter& events;
    wake_ups& wake;
    telemetry::logger log;
  };
  explicit consumers(parts with) : with_(std::move(with)) {}

  using answer = boost::asio::awaitable<quantumflow::outcome>;

  answer handle_consensus_result(postgres::transaction& in, const messages::consensus_result& result,
                                 const quantumflow::message& from);
  answer handle_rollback_trigger(postgres::transaction& in, const messages::rollback_trigger& trigger,
                                 const quantumflow::message& from);
  answer handle_safety_profile_update(postgres::transaction& in, const messages::safety_profile_update& update,
                                      const quantumflow::message& from);
  answer handle_voting_request(postgres::transaction& in, const messages::voting_request& request,
                               const quantumflow::message& from);
  answer handle_consensus_pattern(postgres::transaction& in, const messages::consensus_pattern& pattern,
                                  const quantumflow::message& from);

  struct subscription {
    std::string_view queue;
    quantumflow::batch_handler handler;
    quantumflow::after_commit after;
  };
  /// The five queues with their handlers, and what is woken after the commit.
  std::vector<subscription> subscriptions();

 private:
  const base::instance_id& self() const { return with_.proposals.self(); }
  parts with_;
};

}  // namespace fleet::agent
