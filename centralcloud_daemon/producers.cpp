#include "centralcloud_daemon/producers.hpp"

#include <string>
#include <utility>

#include "common/messages/queues.hpp"
#include "common/postgres/error.hpp"

namespace fleet::central {
namespace {

using messages::queues::consensus_patterns;
using messages::queues::consensus_results;
using telemetry::event;

quantumflow::publication to_queue(std::string_view queue, boost::json::object payload) {
  quantumflow::publication made;
  made.queue = std::string(queue);
  made.payload = std::move(payload);
  return made;
}

}  // namespace

producers::sent producers::publish(postgres::transaction& open, quantumflow::publication what) {
  const auto queue = what.queue;
  base::error failed;
  try {
    const auto id = co_await quantumflow::publish(open, std::move(what));
    co_return id;
  } catch (const postgres::sql_error& failure) {
    events_.count(event::publish_failed, "a message could not be published",
                  {{"queue", queue}, {"error", failure.to_error()}});
    throw;  // as it is: who handles a message must know the database's failure from the message's
  } catch (const base::failure& failure) {
    failed = failure.get();
  }
  events_.count(event::publish_failed, "a message could not be published", {{"queue", queue}, {"error", failed}});
  co_return failed;
}

producers::sent producers::send_consensus_result(postgres::transaction& open, messages::consensus_result what) {
  what.timestamp = clock_.now();
  auto message = to_queue(consensus_results, what.encode());
  message.recipient = what.instance_id;
  const auto published = co_await publish(open, std::move(message));
  if (!published) co_return published;
  open.on_commit([this, what = std::move(what), id = *published] {
    const telemetry::labels with{{"status", std::string(messages::to_string(what.status))},
                                 {"rule", what.rule.value_or("")}};
    events_.registry().counter_of("centralcloud_decisions_total", with).increment();
    events_.count(event::consensus_result_published, "decided",
                  {{"proposal_id", what.proposal_id},
                   {"trace_id", base::trace_id_of(what.trace)},
                   {"instance_id", what.instance_id},
                   {"status", messages::to_string(what.status)},
                   {"rule", what.rule.value_or("")},
                   {"message_id", id}});
  });
  co_return published;
}

producers::sent producers::send_rollback_trigger(postgres::transaction& open, messages::rollback_trigger what) {
  what.timestamp = clock_.now();
  auto message = to_queue(messages::queues::rollback_triggers, what.encode());
  message.recipient = what.instance_id;
  const auto published = co_await publish(open, std::move(message));
  if (!published) co_return published;
  open.on_commit([this, what = std::move(what), id = *published] {
    events_.registry().counter_of("centralcloud_rollbacks_triggered_total", {{"reason", what.reason}}).increment();
    events_.count(event::rollback_trigger_published, "rollback triggered",
                  {{"proposal_id", what.proposal_id},
                   {"trace_id", base::trace_id_of(what.trace)},
                   {"instance_id", what.instance_id},
                   {"reason", what.reason},
                   {"message_id", id}});
  });
  co_return published;
}

producers::sent producers::send_safety_profile_update(postgres::transaction& open,
                                                      messages::safety_profile_update what) {
  // Instances keep the newest. Coordinators have a clock each, one of which may be ahead; they share the database's.
  const auto now = co_await open.query("select clock_timestamp() as now");
  what.timestamp = now.single().get<base::timestamp>("now");
  auto message = to_queue(messages::queues::guardian_safety_profiles, what.encode());
  if (what.instance_id.str() != messages::broadcast_instance) message.recipient = what.instance_id;
  const auto published = co_await publish(open, std::move(message));
  if (!published) co_return published;
  open.on_commit([this, what = std::move(what)] {
    events_.count(event::profile_update_published, "safety profile sent",
                  {{"agent_type", what.agent_type}, {"instance_id", what.instance_id}, {"source", what.source}});
  });
  co_return published;
}

producers::sent producers::send_voting_request(postgres::transaction& open, messages::voting_request what) {
  what.timestamp = clock_.now();
  auto message = to_queue(messages::queues::voting_requests, what.encode());
  co_return co_await publish(open, std::move(message));
}

producers::sent producers::send_consensus_pattern(postgres::transaction& open, messages::consensus_pattern what) {
  what.timestamp = clock_.now();
  auto message = to_queue(consensus_patterns, what.encode());
  co_return co_await publish(open, std::move(message));
}

producers::sent producers::send_learning_loop_completed(postgres::transaction& open,
                                                        messages::learning_loop_completed what) {
  what.timestamp = clock_.now();
  auto message = to_queue(messages::queues::learning_loop_completed, what.encode());
  co_return co_await publish(open, std::move(message));
}

}  // namespace fleet::central
