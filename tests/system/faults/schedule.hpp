// Which faults come when: a pure function of the seed.
#pragma once
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace fleet::test::faults {

enum class fault_kind {
  calm,                // none: how it is when nothing is broken
  kill_daemon,         // kill -9, started again
  kill_coordinator,    // one of the two, while the other goes on
  stop_daemon,         // SIGTERM, started again
  stop_at_once,        // SIGTERM twice
  freeze_daemon,       // SIGSTOP, SIGCONT
  restart_postgres,    // a fast shutdown
  kill_postgres,       // kill -9 of the postmaster and all its processes
  terminate_backends,  // pg_terminate_backend at a rate
  black_hole,          // the proxy's: on one daemon's connections or on all
  reset,
  half_open,
  delay,
  trickle,
  drop_commit_reply,
  listener_black_hole,  // the LISTEN connections alone
  listener_half_open,
  database_away,        // stopped, with the load going on
  quiet_outage,         // stopped, without load: what daemons cost that cannot work
  held_transaction,     // an old snapshot and an xid held open
  connections_used_up,  // max_connections, after the daemons lost theirs
  sighup_storm,         // with a configuration that is wrong
  spool_disk_full,      // while the database is away
  spool_torn,           // killed while the database is away; a torn tail and a flipped byte in its spool
  spool_power_cut,      // killed while the database is away; unsynced writes are gone
  bad_config,           // a daemon is started with one
  schema_ahead,         // a daemon is started on a schema of a later version
  schema_behind,        // … of an earlier one
  poison_burst,         // bad messages at once
  proposals_at_once,    // by all instances
  flood,                // of every queue but that of rollback triggers
  clock_jump            // a daemon's clock goes an hour ahead, and then two back, while it runs
};

std::string_view to_string(fault_kind kind);
/// Throws std::runtime_error for an unknown name.
fault_kind parse_fault(std::string_view name);
std::vector<fault_kind> every_fault();

struct planned_fault {
  fault_kind kind = fault_kind::kill_daemon;
  std::string target;                   ///< a daemon; empty: all of them
  std::chrono::milliseconds before{0};  ///< quiet time
  std::chrono::milliseconds lasts{0};
  bool is_short = true;
};

struct schedule_options {
  std::uint64_t seed = 1;
  bool is_short = true;           ///< durations that fit into a test run
  std::vector<fault_kind> kinds;  ///< all of these in each round, in an order of their own
  int rounds = 1;
};

std::vector<planned_fault> plan(const schedule_options& options);

}  // namespace fleet::test::faults
