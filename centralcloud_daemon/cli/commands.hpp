// The subcommands of centralcloud_daemon.
#pragma once
#include "common/daemon/service.hpp"

namespace fleet::central::cli {

void add_doctor(daemon::command_table& to, const daemon::service& what);
/// run, migrate, check-config, doctor
void add_daemon_commands(daemon::command_table& to);
/// queues, pending, dlq list, dlq retry, dlq purge
void add_queue_commands(daemon::command_table& to);
/// proposals, proposal, rollback, instances, patterns
void add_fleet_commands(daemon::command_table& to);
/// profiles, profiles set
void add_profile_commands(daemon::command_table& to);
/// alerts, alerts clear, alerts test
void add_alert_commands(daemon::command_table& to);
/// enroll
void add_enroll_commands(daemon::command_table& to);

/// audit verify, audit list
void add_audit_commands(daemon::command_table& to);

/// All of them.
daemon::command_table make_commands();

}  // namespace fleet::central::cli
