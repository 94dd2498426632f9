#include "common/telemetry/events.hpp"

namespace fleet::telemetry {

log_level level_of(event what) {
  switch (what) {
    case event::publish_failed:
    case event::rollback_failed:
      return log_level::warning;
    case event::metrics_published:
    case event::metrics_received:
    case event::vote_received:
    case event::vote_published:
    case event::proposal_received:
    case event::pattern_received:
      return log_level::debug;
    default:
      return log_level::info;
  }
}

std::string_view to_string(event what) {
  switch (what) {
    case event::proposal_published:
      return "proposal_published";
    case event::metrics_published:
      return "metrics_published";
    case event::pattern_published:
      return "pattern_published";
    case event::vote_published:
      return "vote_published";
    case event::publish_failed:
      return "publish_failed";
    case event::consensus_approved:
      return "consensus_approved";
    case event::consensus_rejected:
      return "consensus_rejected";
    case event::rollback_completed:
      return "rollback_completed";
    case event::rollback_failed:
      return "rollback_failed";
    case event::profile_updated:
      return "profile_updated";
    case event::proposal_received:
      return "proposal_received";
    case event::vote_received:
      return "vote_received";
    case event::metrics_received:
      return "metrics_received";
    case event::pattern_received:
      return "pattern_received";
    case event::consensus_result_published:
      return "consensus_result_published";
    case event::rollback_trigger_published:
      return "rollback_trigger_published";
    case event::profile_update_published:
      return "profile_update_published";
  }
  return "unknown";
}

std::string_view to_string(daemon_prefix prefix) {
  return prefix == daemon_prefix::singularity ? "singularity" : "centralcloud";
}

std::vector<event> events_of(daemon_prefix prefix) {
  if (prefix == daemon_prefix::singularity)
    return {event::proposal_published, event::metrics_published,  event::pattern_published,  event::vote_published,
            event::publish_failed,     event::consensus_approved, event::consensus_rejected, event::rollback_completed,
            event::rollback_failed,    event::profile_updated};
  return {event::proposal_received,          event::vote_received,
          event::metrics_received,           event::pattern_received,
          event::consensus_result_published, event::rollback_trigger_published,
          event::profile_update_published,   event::publish_failed};
}

event_counter::event_counter(metrics& registry, logger log, daemon_prefix prefix)
    : registry_(registry), log_(std::move(log)) {
  const auto name = std::string(to_string(prefix)) + "_events_total";
  for (const auto what : events_of(prefix)) {
    const labels with{{"event", std::string(to_string(what))}};
    counters_.emplace(what, registry.get_counter(name, "Named events of this daemon since it started", with));
  }
}

void event_counter::count(event what, std::string_view message, fields with) {
  if (const auto found = counters_.find(what); found != counters_.end()) found->second.increment();
  log_.write(level_of(what), to_string(what), message, with);
}

void event_counter::not_handled(const unhandled& message) const {
  log_.warning(message.rejected ? "message_rejected" : "message_failed", message.error,
               {{"queue", message.queue}, {"message_id", message.id}, {"trace_id", message.trace_id}});
}

double event_counter::counted(event what) const {
  const auto found = counters_.find(what);
  return found == counters_.end() ? 0 : found->second.value();
}

}  // namespace fleet::telemetry
