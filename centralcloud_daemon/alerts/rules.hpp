// The built-in alerts: figures and open alerts in, what is breached and what is relieved out. Pure values.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fleet::central::alerts {

struct bounds {
  double dead_letters = 10;  ///< of a queue
  double queue_latency_seconds = 5;
  double snapshot_seconds = 300;  ///< that one has been held
  double held_seconds = 600;      ///< that rotation waits for a segment
  double instance_silent_seconds = 60;
  double instance_backlog = 1000;  ///< messages set aside for one that reads too slowly
  /// Since a rollback was triggered. No setting: the longest that a strategy is estimated to take is 30 s, and how long
  /// harm may stay is not a matter of taste.
  double rollback_pending_seconds = 120;
};

struct queue_figure {
  std::string name;
  double oldest_age_seconds = 0;
  double dead_letters = 0;
  std::int64_t readers = 0;
};

struct troubled_instance {
  std::string name;
  double silent_seconds = 0;
  double backlog = 0;
};

struct pending_rollback {
  std::string proposal;
  std::string instance;  ///< which is to take it back
  double seconds = 0;    ///< since it was triggered
};

/// The oldest snapshot of one kind of holder: session, prepared_transaction, replication_slot or standby.
struct held_snapshot {
  std::string kind;
  std::string holder;  ///< for people: a session's pid and program, a slot's name
  double seconds = 0;
  std::int64_t transactions = 0;  ///< that have begun since
};

struct figures {
  std::vector<queue_figure> queues;
  std::int64_t live_instances = 0;
  std::int64_t silent_instances = 0;
  std::vector<troubled_instance> troubled;  ///< only those that may need an alert
  std::vector<held_snapshot> snapshots;
  std::vector<pending_rollback> rollbacks;
  double held_seconds = 0;
  std::string held_by;
};

struct open_alert {
  std::string name;
  std::string subject;
  std::optional<std::string> change_state = {};  ///< of the change that it is about
  bool change_silent = false;                    ///< and no sample of it comes
};

enum class verdict {
  breached,
  between,  ///< its bounds; as the next, only for alerts that are open
  relieved
};
struct finding {
  verdict is = verdict::breached;
  std::string name;
  std::string subject;
  // The rest where breached.
  std::string_view severity = {};
  std::string text = {};
  double value = 0;
  double bound = 0;
  bool at_once = false;  ///< whether it needs to last first, as what passes by itself must
};

/// A value above its bound is a breach; one at or below four fifths of it relieves an open alert, between the two an
/// open one stands, and what counts up to raising or clearing it begins anew. What the Guardian raised about a change
/// is relieved when that is over, and never found here; `executed_without_approval` is a person's to clear.
std::vector<finding> judge(const bounds& bound, const figures& now, const std::vector<open_alert>& open);

/// Every name that `judge` may find, and those of the Guardian that are not `<metric>_breach`: what the catalogue of
/// metrics and the runbook are held against.
std::vector<std::string_view> alert_names();

}  // namespace fleet::central::alerts
