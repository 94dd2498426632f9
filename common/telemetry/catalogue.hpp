// Every metric that the daemons expose: the one place that dashboards, alerting rules and documents take names from.
#pragma once
#include <array>
#include <stdexcept>
#include <string_view>

namespace fleet::telemetry::catalogue {

enum class kind {
  counter,
  gauge,
  histogram,      ///< of what takes milliseconds
  wait_histogram  ///< of what may take an hour
};
enum class source { agent, coordinator, both };

struct metric {
  std::string_view name;
  kind of;
  source from;
  std::string_view labels;  ///< separated by commas
  std::string_view help;
  /// Values of the labels that there are series for from the start, at zero: in the order of the labels, separated by
  /// commas, `a|b` for each of two; `;` between groups. Empty where they are not known beforehand.
  std::string_view from_start = {};
};

/// Names by prefix: `quantumflow_` is the queue layer in whichever daemon, `singularity_` the agent, `centralcloud_`
/// the coordinator, `process_` what Prometheus names alike for every program. Labels never hold ids of proposals or
/// instances.
// clang-format off
inline constexpr std::array all = {
    // The queues as the database counts them, sampled by coordinators.
    metric{"quantumflow_queue_pending_messages", kind::gauge, source::coordinator, "queue", "Messages that no reader has taken yet, summed over readers."},
    metric{"quantumflow_queue_oldest_age_seconds", kind::gauge, source::coordinator, "queue", "Age of the oldest message that waits, in the log or for its retry."},
    metric{"quantumflow_queue_retrying_messages", kind::gauge, source::coordinator, "queue", "Messages that failed and wait for their next attempt."},
    metric{"quantumflow_queue_dead_letters", kind::gauge, source::coordinator, "queue", "Messages in the dead-letter queue."},
    metric{"quantumflow_queue_readers", kind::gauge, source::coordinator, "queue", "Consumer groups that read the queue."},
    metric{"quantumflow_queue_published_total", kind::counter, source::coordinator, "queue", "Messages published, ever."},
    metric{"quantumflow_queue_consumed_total", kind::counter, source::coordinator, "queue", "Messages acknowledged, ever, summed over readers."},
    metric{"quantumflow_queue_purged_total", kind::counter, source::coordinator, "queue", "Dead letters purged by operators, ever."},
    metric{"quantumflow_log_bytes", kind::gauge, source::coordinator, "", "Size of the message log's segments, with indexes."},
    metric{"quantumflow_log_held_seconds", kind::gauge, source::coordinator, "", "How long rotation has been waiting for a segment that is still in use; 0 where it waits for none."},
    metric{"quantumflow_oldest_transaction_seconds", kind::gauge, source::coordinator, "holder", "How long the oldest snapshot of this database has been held, by kind of holder: session, prepared_transaction, replication_slot or standby (of the last two up to a day). What it can see cannot be cleaned up."},
    metric{"quantumflow_oldest_xmin_age_transactions", kind::gauge, source::coordinator, "holder", "Transactions since the oldest snapshot, by kind of holder: session, prepared_transaction, replication_slot or standby."},
    metric{"quantumflow_sampled_timestamp_seconds", kind::gauge, source::coordinator, "", "When the figures of the database were last sampled (Unix time)."},
    metric{"quantumflow_sample_seconds", kind::histogram, source::coordinator, "", "Time that sampling the database's figures takes."},
    // The queue layer inside a daemon.
    metric{"quantumflow_messages_handled_total", kind::counter, source::both, "queue,outcome", "Messages that this daemon settled: done, retried (failed, and comes again), dead (failed for the last time) or rejected (dead at once)."},
    metric{"quantumflow_message_wait_seconds", kind::wait_histogram, source::both, "queue", "From a message's publication (database's clock) to the commit that settled it (daemon's clock)."},
    metric{"quantumflow_batch_processing_seconds", kind::histogram, source::both, "queue", "From taking a batch of messages to its commit."},
    metric{"quantumflow_listen_up", kind::gauge, source::both, "", "1 while LISTEN works; at 0 messages are found by polling. Absent where database.listen_url is none."},
    metric{"quantumflow_listen_reconnects_total", kind::counter, source::both, "", "Times that the LISTEN connection was lost."},
    metric{"quantumflow_connections", kind::gauge, source::both, "pool,state", "Database connections: open, idle, and workers waiting for one."},
    metric{"quantumflow_connection_failures_total", kind::counter, source::both, "pool", "Attempts to connect to the database that failed."},
    // Both daemons.
    metric{"singularity_build_info", kind::gauge, source::agent, "version", "1; the version is a label."},
    metric{"centralcloud_build_info", kind::gauge, source::coordinator, "version", "1; the version is a label."},
    metric{"singularity_ready", kind::gauge, source::agent, "", "1 while everything that readiness needs holds."},
    metric{"centralcloud_ready", kind::gauge, source::coordinator, "", "1 while everything that readiness needs holds."},
    metric{"singularity_events_total", kind::counter, source::agent, "event", "Named events of this daemon since it started"},
    metric{"centralcloud_events_total", kind::counter, source::coordinator, "event", "Named events of this daemon since it started"},
    metric{"singularity_worker_restarts_total", kind::counter, source::agent, "worker", "Workers started again after a failure"},
    metric{"centralcloud_worker_restarts_total", kind::counter, source::coordinator, "worker", "Workers started again after a failure"},
    metric{"singularity_http_requests_total", kind::counter, source::agent, "route,status", "Answered HTTP requests"},
    metric{"centralcloud_http_requests_total", kind::counter, source::coordinator, "route,status", "Answered HTTP requests"},
    metric{"singularity_http_request_seconds", kind::histogram, source::agent, "route", "Time to an answer"},
    metric{"centralcloud_http_request_seconds", kind::histogram, source::coordinator, "route", "Time to an answer"},
    metric{"process_cpu_seconds_total", kind::counter, source::both, "", "Processor time used, in user and system mode."},
    metric{"process_resident_memory_bytes", kind::gauge, source::both, "", "Memory in use."},
    metric{"process_virtual_memory_bytes", kind::gauge, source::both, "", "Address space in use."},
    metric{"process_open_fds", kind::gauge, source::both, "", "Open file descriptors."},
    metric{"process_max_fds", kind::gauge, source::both, "", "File descriptors that may be open."},
    metric{"process_start_time_seconds", kind::gauge, source::both, "", "When the process started (Unix time)."},
    // The agent.
    metric{"singularity_spool_entries", kind::gauge, source::agent, "", "Items that wait in the spool."},
    metric{"singularity_spool_bytes", kind::gauge, source::agent, "", "Bytes of the items that wait in the spool."},
    metric{"singularity_spool_dropped_total", kind::counter, source::agent, "", "Metrics that made room in a full spool, ever."},
    metric{"singularity_spool_quarantined_total", kind::counter, source::agent, "", "Items set aside at replay, ever."},
    metric{"singularity_spool_unreadable_total", kind::counter, source::agent, "", "Items lost to damage of the spool's file, ever."},
    metric{"singularity_spooled_total", kind::counter, source::agent, "", "Items accepted while the database was away."},
    metric{"singularity_spool_replayed_total", kind::counter, source::agent, "", "Items applied from the spool."},
    metric{"singularity_votes_total", kind::counter, source::agent, "vote,by", "Votes of this instance, by choice and by who gave it: policy, command or person.", "approve|reject,policy|command|person"},
    metric{"singularity_executions_total", kind::counter, source::agent, "outcome", "Executions that ended: applied, failed (and undone) or rollback_failed (not undone).", "applied|failed|rollback_failed"},
    metric{"singularity_execution_seconds", kind::wait_histogram, source::agent, "", "From beginning (or resuming) an execution to the change being applied and measured."},
    metric{"singularity_rollbacks_total", kind::counter, source::agent, "reason,outcome", "Rollbacks carried out, by reason: rolled_back or rollback_failed.", "success_rate_breach|error_rate_breach|latency_p95_ms_breach|cost_cents_breach|cpu_usage_breach|error_count_breach|metrics_missing|operator,rolled_back|rollback_failed"},
    metric{"singularity_rollback_seconds", kind::wait_histogram, source::agent, "", "From taking up a rollback to its end."},
    // The coordinator.
    metric{"centralcloud_instances", kind::gauge, source::coordinator, "state", "Registered instances: live (heartbeat is fresh) or silent."},
    metric{"centralcloud_votes_open", kind::gauge, source::coordinator, "", "Proposals that are being voted on, or wait for voters."},
    metric{"centralcloud_changes_watched", kind::gauge, source::coordinator, "", "Applied changes within their observation window."},
    metric{"centralcloud_votes_total", kind::counter, source::coordinator, "vote,disposition", "Votes received: counted, not_in_electorate, after_decision, or different (a second one, refused).", "approve|reject,counted|not_in_electorate|after_decision|different"},
    metric{"centralcloud_decisions_total", kind::counter, source::coordinator, "status,rule", "Decisions, by the rule that made them.", "approved,consensus|not_required|auto_approved;rejected,strong_rejection|majority_reject|no_consensus|timeout|conflict|too_large"},
    metric{"centralcloud_rollbacks_triggered_total", kind::counter, source::coordinator, "reason", "Rollbacks that were triggered, but by the command line (the audit log has those, too).", "success_rate_breach|error_rate_breach|latency_p95_ms_breach|cost_cents_breach|cpu_usage_breach|error_count_breach|metrics_missing|operator"},
    metric{"centralcloud_rollbacks_total", kind::counter, source::coordinator, "outcome", "Rollbacks reported as ended: rolled_back or rollback_failed.", "rolled_back|rollback_failed"},
    metric{"centralcloud_breach_to_rollback_seconds", kind::wait_histogram, source::coordinator, "", "From the measuring of a breach to the report that the change was taken back, by the instance's clock."},
    metric{"centralcloud_timed_work_failures_total", kind::counter, source::coordinator, "work", "Pieces of timed work that failed and were passed over for a while: open (a vote), decide, confirm, silence, tell (an instance its profiles).", "open|decide|confirm|silence|tell"},
    metric{"centralcloud_alerts_active", kind::gauge, source::coordinator, "alert,severity", "Built-in alerts that stand."},
    metric{"centralcloud_alerts_raised_total", kind::counter, source::coordinator, "alert", "Built-in alerts raised by this coordinator.", "dead_letters|queue_latency|no_live_instance|instance_silent|instance_lagging|old_snapshot|rotation_held|metrics_missing|rollback_failed|rollback_pending|executed_without_approval|success_rate_breach|error_rate_breach|latency_p95_ms_breach|cost_cents_breach|cpu_usage_breach|error_count_breach"},
    metric{"centralcloud_alert_notifications_total", kind::counter, source::coordinator, "channel,outcome", "Notifications by command or webhook: delivered, retried or given_up.", "command|webhook,delivered|retried|given_up"},
};
// clang-format on

/// For `known_metric`: a name that is not there does not compile.
consteval const metric& find(std::string_view name) {
  for (const auto& each : all)
    if (each.name == name) return each;
  throw std::invalid_argument("no such metric");
}

}  // namespace fleet::telemetry::catalogue
