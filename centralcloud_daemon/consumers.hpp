// The coordinator's consumers: what each message from an agent does.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <functional>
#include <string>
#include <vector>

#include "centralcloud_daemon/consensus/engine.hpp"
#include "centralcloud_daemon/guardian/watch.hpp"
#include "centralcloud_daemon/patterns/aggregator.hpp"
#include "common/messages/execution_metrics.hpp"
#include "common/messages/pattern_discovered.hpp"
#include "common/messages/proposal_for_consensus.hpp"
#include "common/messages/vote.hpp"
#include "common/postgres/transaction.hpp"
#include "common/quantumflow/consumer.hpp"
#include "common/telemetry/events.hpp"
#include "common/telemetry/queue_meter.hpp"

namespace fleet::central {

/// The consumer group that all coordinators share.
inline constexpr std::string_view consumer_group = "centralcloud";

/// For the loop's thread. A message that does not decode never gets here: it is dead-lettered with the field's name.
/// Each handler's writes, what it sends on and the message's acknowledgement commit together; the same message again
/// (delivered or published twice) is done, without a second effect.
class consumers {
 public:
  using handled = boost::asio::awaitable<quantumflow::outcome>;

  /// All must outlive the consumers.
  consumers(consensus::engine& votes, guardian::watch& changes, patterns::aggregator& patterns,
            telemetry::event_counter& events)
      : votes_(votes), changes_(changes), patterns_(patterns), events_(events) {}

  handled handle_proposal_for_consensus(postgres::transaction& open, const messages::proposal_for_consensus& proposal,
                                        const quantumflow::message& delivery);
  handled handle_vote(postgres::transaction& open, const messages::vote& vote, const quantumflow::message& delivery);
  handled handle_execution_metrics(postgres::transaction& open, const messages::execution_metrics& sample,
                                   const quantumflow::message& delivery);
  handled handle_pattern_discovered(postgres::transaction& open, const messages::pattern_discovered& pattern,
                                    const quantumflow::message& delivery);

  struct subscription {
    std::string queue;
    quantumflow::batch_handler handler;
    telemetry::event counted;  ///< what is counted for each message that was handled
  };
  /// One for each queue that the coordinator reads.
  std::vector<subscription> subscriptions();
  /// Counts and measures handled messages after their commit; logs those that were refused. Calls `woken` after each,
  /// if given.
  quantumflow::after_commit after_commit(const subscription& of, telemetry::queue_meter meter,
                                         std::function<void()> woken = {});

 private:
  consensus::engine& votes_;
  guardian::watch& changes_;
  patterns::aggregator& patterns_;
  telemetry::event_counter& events_;
};

}  // namespace fleet::central
