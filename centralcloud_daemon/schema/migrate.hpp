// Creates and upgrades the schema from the migrations embedded in the binary.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/base/error.hpp"
#include "common/base/time.hpp"
#include "common/postgres/connection.hpp"
#include "sql/migrations.hpp"

namespace fleet::central::schema {

enum class migration_state {
  applied,
  pending,
  changed,  ///< applied from another text than the one this build holds
  unknown   ///< applied by a newer build
};
std::string_view to_string(migration_state state);

struct migration_status {
  int version = 0;
  std::string title;
  migration_state state = migration_state::pending;
  std::optional<base::timestamp> applied_at;  ///< empty while pending, as `applied_by`
  std::string applied_by;
};

struct migrate_options {
  std::chrono::milliseconds lock_wait{60'000};  ///< how long another one that is at work is waited for
  std::chrono::milliseconds statement_timeout{600'000};
  std::span<const sql::migration> migrations = sql::migrations();
  std::function<void(const std::string& line)> say = {};  ///< progress, for people
};

/// Every migration that the database or this build knows, by version. Throws `postgres::sql_error`.
boost::asio::awaitable<std::vector<migration_status>> read_status(
    postgres::connection& connection, std::span<const sql::migration> migrations = sql::migrations());

/// Applies what is pending, each migration in a transaction of its own; safe to repeat and to run on several machines
/// at once (a session's advisory lock: the second waits, and then finds nothing to do). Returns the versions applied.
/// Errors, with nothing changed: `conflict` (the database is newer, or a migration's text differs from the one that was
/// applied), `timeout` (somebody else is still at it). Throws `postgres::sql_error`; the migrations before the failed
/// one stay.
boost::asio::awaitable<base::result<std::vector<int>>> migrate(postgres::connection& connection,
                                                               migrate_options how = {});

/// After a logical restore into another cluster: re-stamps all that is pending in the queues, in order, in one
/// transaction. Returns the number of messages, 0 where there was nothing to do. The schema must be up to date. Throws
/// `postgres::sql_error`.
boost::asio::awaitable<std::int64_t> rebase(postgres::connection& connection, migrate_options how = {});

}  // namespace fleet::central::schema
