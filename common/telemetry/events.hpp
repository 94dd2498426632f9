// The named events of both daemons: each is one counter series and one log line.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/telemetry/log.hpp"
#include "common/telemetry/metrics.hpp"

namespace fleet::telemetry {

enum class event {
  // of the agent
  proposal_published,
  metrics_published,
  pattern_published,
  vote_published,
  publish_failed,
  consensus_approved,
  consensus_rejected,
  rollback_completed,
  rollback_failed,
  profile_updated,
  // of the coordinator
  proposal_received,
  vote_received,
  metrics_received,
  pattern_received,
  consensus_result_published,
  rollback_trigger_published,
  profile_update_published
};
std::string_view to_string(event what);
/// Failures are warnings; what comes with every message (metrics, votes, what is received) is debug; others info.
log_level level_of(event what);

/// Which daemon counts: the prefix of its metric names (`singularity_events_total`, `centralcloud_events_total`).
enum class daemon_prefix { singularity, centralcloud };
std::string_view to_string(daemon_prefix prefix);
/// The events that this daemon counts; both count `publish_failed`.
std::vector<event> events_of(daemon_prefix prefix);

/// Every series of the daemon's events is there from the start, at zero.
class event_counter {
 public:
  event_counter(metrics& registry, logger log, daemon_prefix prefix);
  /// Counts one and logs it: failures as warnings, high-rate ones (metrics, votes, proposals received) at debug, others
  /// at info.
  void count(event what, std::string_view message, fields with = {});
  double counted(event what) const;

  /// A message that a consumer could not handle: a warning with the error that its dead letter or retry carries.
  struct unhandled {
    std::string queue;
    base::message_id id{};
    bool rejected = false;  ///< dead-lettered at once; otherwise retried
    std::string error;
    std::optional<std::string> trace_id = {};
  };
  void not_handled(const unhandled& message) const;

  metrics& registry() const { return registry_; }

 private:
  metrics& registry_;
  logger log_;
  std::map<event, counter> counters_;
};

inline void count_event(event_counter& to, event what, std::string_view message, fields with = {}) {
  to.count(what, message, with);
}

}  // namespace fleet::telemetry
