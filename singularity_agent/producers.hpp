// What the agent sends: one function a message, each publishing in the transaction of the writes it belongs to.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <string>

#include "common/base/error.hpp"
#include "common/base/ids.hpp"
#include "common/base/time.hpp"
#include "common/messages/execution_metrics.hpp"
#include "common/messages/pattern_discovered.hpp"
#include "common/messages/proposal_for_consensus.hpp"
#include "common/messages/vote.hpp"
#include "common/postgres/transaction.hpp"
#include "common/telemetry/events.hpp"

namespace fleet::agent {

/// The message carries this agent's instance id whatever the argument says. Answers the message's id, or an error that
/// says why the database refused it (counted as `publish_failed`; the transaction can only be rolled back then).
/// `postgres::sql_error` is thrown where the database is away: that says nothing of the message. A success is counted
/// when the database took the message, shortly before its commit.
class producers {
 public:
  producers(base::instance_id self, telemetry::event_counter& events, const base::clock& time = base::system_clock());

  using answer = boost::asio::awaitable<base::result<base::message_id>>;

  answer propose_for_consensus(postgres::transaction& in, messages::proposal_for_consensus proposal);
  answer report_metrics_to_guardian(postgres::transaction& in, messages::execution_metrics metrics);
  /// `pattern.timestamp` is set to now.
  answer report_pattern_to_aggregator(postgres::transaction& in, messages::pattern_discovered pattern);
  /// `vote.timestamp` is set to now.
  answer cast_vote(postgres::transaction& in, messages::vote vote);

  const base::instance_id& self() const { return self_; }
  /// Where those who send count what led to it.
  telemetry::metrics& registry() const { return events_.registry(); }

 private:
  struct sending;
  answer send(postgres::transaction& in, sending what);

  base::instance_id self_;
  telemetry::event_counter& events_;
  const base::clock& clock_;
};

}  // namespace fleet::agent
