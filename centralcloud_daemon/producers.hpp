// The coordinator's producers: every message that it sends on, published in the transaction of whatever made it
// necessary.
#pragma once
#include <boost/asio/awaitable.hpp>

#include "common/base/error.hpp"
#include "common/base/ids.hpp"
#include "common/base/time.hpp"
#include "common/messages/consensus_pattern.hpp"
#include "common/messages/consensus_result.hpp"
#include "common/messages/learning_loop_completed.hpp"
#include "common/messages/rollback_trigger.hpp"
#include "common/messages/safety_profile_update.hpp"
#include "common/messages/voting_request.hpp"
#include "common/postgres/transaction.hpp"
#include "common/quantumflow/publish.hpp"
#include "common/telemetry/events.hpp"

namespace fleet::central {

/// For the loop's thread. Each sets the message's `timestamp`, publishes it as part of the transaction and counts the
/// event. An error says why it could not be published; the transaction is lost then, and the caller gives it up.
class producers {
 public:
  using sent = boost::asio::awaitable<base::result<base::message_id>>;

  /// Both must outlive the producers.
  producers(telemetry::event_counter& events, const base::clock& clock) : events_(events), clock_(clock) {}

  /// To `instance_id`, which proposed the change.
  sent send_consensus_result(postgres::transaction& open, messages::consensus_result what);
  /// To `instance_id`, which applied the change.
  sent send_rollback_trigger(postgres::transaction& open, messages::rollback_trigger what);
  /// To one instance, or to every one where `instance_id` is `messages::broadcast_instance`.
  sent send_safety_profile_update(postgres::transaction& open, messages::safety_profile_update what);
  /// To every instance.
  sent send_voting_request(postgres::transaction& open, messages::voting_request what);
  /// To every instance.
  sent send_consensus_pattern(postgres::transaction& open, messages::consensus_pattern what);
  /// To whoever outside reads it.
  sent send_learning_loop_completed(postgres::transaction& open, messages::learning_loop_completed what);

  /// By the clock that messages are stamped with.
  base::timestamp now() const { return clock_.now(); }
  /// Where those who send count what led to it.
  telemetry::metrics& registry() const { return events_.registry(); }

 private:
  sent publish(postgres::transaction& open, quantumflow::publication what);

  telemetry::event_counter& events_;
  const base::clock& clock_;
};

/// For callers inside a batch: an error becomes a throw, which fails the batch.
inline base::message_id or_throw(const base::result<base::message_id>& published) {
  if (!published) throw base::failure(published.error());
  return *published;
}

}  // namespace fleet::central
