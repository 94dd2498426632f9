#include "singularity_agent/producers.hpp"

#include <optional>

#include "common/messages/queues.hpp"
#include "common/postgres/error.hpp"
#include "common/quantumflow/publish.hpp"

namespace fleet::agent {

struct producers::sending {
  std::string_view queue;
  boost::json::object payload;
  telemetry::event event;
  std::string subject;  ///< for the log: the proposal or the pattern's type
  std::optional<std::string> trace_id = {};
  std::optional<std::string> told_trace_id = {};  ///< of a sample, see messages/trace.hpp
};

producers::producers(base::instance_id self, telemetry::event_counter& events, const base::clock& time)
    : self_(std::move(self)), events_(events), clock_(time) {}

producers::answer producers::send(postgres::transaction& in, sending what) {
  quantumflow::publication publication;
  publication.queue = std::string(what.queue);
  publication.payload = std::move(what.payload);
  std::optional<base::error> refused;
  base::message_id id{};
  try {
    id = co_await quantumflow::publish(in, std::move(publication));
  } catch (const postgres::sql_error& failed) {
    // Whatever else is wrong is the database's, and passes: the message waits for that.
    const auto kind = failed.kind();
    if (kind != postgres::sql_kind::invalid_input && kind != postgres::sql_kind::constraint) throw;
    refused = failed.to_error();
  } catch (const base::failure& failed) {
    if (failed.get().kind != base::error_kind::invalid_input) throw;
    refused = failed.get();  // it cannot even be written as JSON
  }
  if (refused) {
    events_.count(
        telemetry::event::publish_failed, "message refused",
        {{"queue", what.queue}, {"subject", what.subject}, {"trace_id", what.trace_id}, {"error", refused->message}});
    co_return *refused;
  }
  in.on_commit([this, id, event = what.event, queue = what.queue, subject = what.subject, trace_id = what.trace_id,
                told_trace_id = what.told_trace_id] {
    events_.count(event, "message published",
                  {{"queue", queue},
                   {"subject", subject},
                   {"trace_id", trace_id},
                   {"metrics_trace_id", told_trace_id},
                   {"message_id", id}});
  });
  co_return id;
}

producers::answer producers::propose_for_consensus(postgres::transaction& in,
                                                   messages::proposal_for_consensus proposal) {
  proposal.instance_id = self_;
  sending what{messages::queues::proposals_for_consensus, proposal.encode(), telemetry::event::proposal_published,
               proposal.proposal_id.str(), base::trace_id_of(proposal.trace)};
  return send(in, std::move(what));
}

producers::answer producers::report_metrics_to_guardian(postgres::transaction& in,
                                                        messages::execution_metrics metrics) {
  metrics.instance_id = self_;
  sending what{messages::queues::metrics_to_guardian, metrics.encode(),
               telemetry::event::metrics_published,   metrics.proposal_id.str(),
               base::trace_id_of(metrics.trace),      base::trace_id_of(metrics.told_trace)};
  return send(in, std::move(what));
}

producers::answer producers::report_pattern_to_aggregator(postgres::transaction& in,
                                                          messages::pattern_discovered pattern) {
  pattern.instance_id = self_;
  pattern.timestamp = clock_.now();
  sending what{messages::queues::patterns_for_aggregator, pattern.encode(), telemetry::event::pattern_published,
               pattern.pattern_type, base::trace_id_of(pattern.trace)};
  return send(in, std::move(what));
}

producers::answer producers::cast_vote(postgres::transaction& in, messages::vote vote) {
  vote.instance_id = self_;
  vote.timestamp = clock_.now();
  sending what{messages::queues::votes_for_consensus, vote.encode(), telemetry::event::vote_published,
               vote.proposal_id.str(), base::trace_id_of(vote.trace)};
  return send(in, std::move(what));
}

}  // namespace fleet::agent
