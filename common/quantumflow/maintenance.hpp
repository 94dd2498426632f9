// What keeps the queues small, and must be called at intervals by somebody: the coordinators do.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/postgres/connection.hpp"

namespace fleet::quantumflow {

struct maintenance_settings {
  std::chrono::seconds rotation_interval{60};
  std::int64_t segment_bytes = 1 << 30;         ///< a segment that is larger is left before its time
  std::int64_t lag_rotations = 2;               ///< a reader so far behind is moved to its backlog
  std::chrono::hours instance_expiry{7 * 24};   ///< an instance silent for so long is retired
  std::chrono::milliseconds lock_timeout{100};  ///< how long publishers and takers can be held up
  std::chrono::milliseconds statement_limit{60'000};
};

/// One of the log's segments after a rotation.
struct segment_state {
  int segment = 0;
  std::string state;  ///< current, empty, closed (to be truncated), held
  std::int64_t bytes = 0;
  std::string held_by;  ///< why it could not be truncated
  std::chrono::duration<double> held_for{0};
};

struct expired_instance {
  std::string instance;
  std::int64_t dead_letters = 0;
};

// All may be called by any number of processes at once: one does the work, the others return at once with nothing. Each
// is one statement in a transaction of its own, and throws `postgres::sql_error`.

/// Moves publishers on to the next segment when it is time, and truncates those that every reader is through with.
/// Empty: another process is at it.
boost::asio::awaitable<std::vector<segment_state>> rotate(postgres::connection& connection, maintenance_settings how);
/// Copies what lagging readers have not read to their backlogs; the number of messages. `piece` or more: there may be
/// more.
boost::asio::awaitable<std::int64_t> move_laggards(postgres::connection& connection, maintenance_settings how,
                                                   std::int64_t piece);
/// Turns what waits for one silent instance into dead letters, up to so many of each of its streams; call again until
/// it answers none.
boost::asio::awaitable<std::optional<expired_instance>> expire_instance(postgres::connection& connection,
                                                                        maintenance_settings how);
/// Counts what was published since the last time, so that looking at the queues counts no backlog.
boost::asio::awaitable<void> count_messages(postgres::connection& connection);
/// Notes which transaction ids have been given out by now, so that it is known since when a slot holds what it holds.
boost::asio::awaitable<void> tick_xid_clock(postgres::connection& connection);
/// Deletes the positions of cursors that newer ones have replaced, and what was taken of backlogs and retries.
boost::asio::awaitable<void> trim_positions(postgres::connection& connection);

}  // namespace fleet::quantumflow
