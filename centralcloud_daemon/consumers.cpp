#include "centralcloud_daemon/consumers.hpp"

#include <utility>

#include "common/messages/queues.hpp"

namespace fleet::central {
namespace {

namespace queues = messages::queues;
using telemetry::event;

template <class M>
using handler_of = consumers::handled (consumers::*)(postgres::transaction&, const M&, const quantumflow::message&);

template <class M>
consumers::subscription subscribe(consumers* self, std::string_view queue, event counted, handler_of<M> handler) {
  consumers::subscription made;
  made.queue = std::string(queue);
  made.counted = counted;
  made.handler = quantumflow::handle_each<M>(
      [self, handler](postgres::transaction& open, const M& message, const quantumflow::message& delivery) {
        return (self->*handler)(open, message, delivery);
      });
  return made;
}

}  // namespace

consumers::handled consumers::handle_proposal_for_consensus(postgres::transaction& open,
                                                            const messages::proposal_for_consensus& proposal,
                                                            const quantumflow::message&) {
  return votes_.receive_proposal(open, proposal);
}

consumers::handled consumers::handle_vote(postgres::transaction& open, const messages::vote& vote,
                                          const quantumflow::message&) {
  return votes_.receive_vote(open, vote);
}

consumers::handled consumers::handle_execution_metrics(postgres::transaction& open,
                                                       const messages::execution_metrics& sample,
                                                       const quantumflow::message&) {
  return changes_.receive_sample(open, sample);
}

consumers::handled consumers::handle_pattern_discovered(postgres::transaction& open,
                                                        const messages::pattern_discovered& pattern,
                                                        const quantumflow::message&) {
  return patterns_.receive_report(open, pattern);
}

std::vector<consumers::subscription> consumers::subscriptions() {
  std::vector<subscription> all;
  all.push_back(subscribe<messages::proposal_for_consensus>(
      this, queues::proposals_for_consensus, event::proposal_received, &consumers::handle_proposal_for_consensus));
  all.push_back(
      subscribe<messages::vote>(this, queues::votes_for_consensus, event::vote_received, &consumers::handle_vote));
  all.push_back(subscribe<messages::execution_metrics>(this, queues::metrics_to_guardian, event::metrics_received,
                                                       &consumers::handle_execution_metrics));
  all.push_back(subscribe<messages::pattern_discovered>(this, queues::patterns_for_aggregator, event::pattern_received,
                                                        &consumers::handle_pattern_discovered));
  return all;
}

quantumflow::after_commit consumers::after_commit(const subscription& of, telemetry::queue_meter meter,
                                                  std::function<void()> woken) {
  return [this, meter, queue = of.queue, counted = of.counted, woken = std::move(woken)](
             const quantumflow::message& message, const quantumflow::outcome& outcome) {
    using kind = quantumflow::outcome::kind;
    const auto result = quantumflow::fate_of(outcome);
    meter.settled(result, message.enqueued_at, base::system_clock().now());
    events_.count(counted, "handled",
                  {{"queue", queue},
                   {"message_id", message.id},
                   {"trace_id", outcome.trace_id},
                   {"outcome", result},
                   {"error", outcome.error}});
    if (outcome.what != kind::done)
      events_.not_handled({queue, message.id, outcome.what == kind::rejected, outcome.error, outcome.trace_id});
    if (woken) woken();
  };
}

}  // namespace fleet::central
