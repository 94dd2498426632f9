#include "centralcloud_daemon/schema/migrate.hpp"

#include <algorithm>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <exception>
#include <map>
#include <utility>

#include "common/postgres/transaction.hpp"

namespace fleet::central::schema {
namespace {

using boost::asio::awaitable;

/// Beside the queue layer's lock classes; taken alone, so that no order of locks is needed.
constexpr std::string_view lock_key = "1902673";

/// Written again by every migrate, so that it may grow; it is no migration, because it keeps their record.
constexpr std::string_view bootstrap = R"(
create schema if not exists quantumflow;
create table if not exists quantumflow.schema_migration (
  version    int primary key check (version > 0),
  title      text not null,
  applied_at timestamptz not null default clock_timestamp(),
  applied_by text not null default session_user,
  checksum   text not null);
comment on table quantumflow.schema_migration is 'The migrations that were applied, with the checksum (SHA-256) of their text.';
create or replace function quantumflow.schema_version() returns int language sql stable as
  'select coalesce(max(version), 0) from quantumflow.schema_migration';
)";

struct applied_migration {
  std::string title;
  base::timestamp applied_at;
  std::string applied_by;
  std::string checksum;
};
using applied_map = std::map<int, applied_migration>;

awaitable<applied_map> read_applied(postgres::connection& connection) {
  applied_map applied;
  const auto present =
      co_await connection.query("select to_regclass('quantumflow.schema_migration') is not null as present");
  if (!present.single().get<bool>("present")) co_return applied;
  const auto answer = co_await connection.query(
      "select version, title, applied_at, applied_by, checksum from quantumflow.schema_migration");
  for (const auto& row : answer) {
    applied_migration one;
    one.title = row.get<std::string>("title");
    one.applied_at = row.get<base::timestamp>("applied_at");
    one.applied_by = row.get<std::string>("applied_by");
    one.checksum = row.get<std::string>("checksum");
    applied.emplace(row.get<std::int32_t>("version"), std::move(one));
  }
  co_return applied;
}

/// The database computes it, so that no cryptographic library is needed for one sum.
awaitable<std::string> checksum_of(postgres::connection& connection, const sql::migration& migration) {
  auto args = postgres::make_params(migration.text);
  const auto answer = co_await connection.query(
      "select encode(sha256(convert_to($1::text, 'UTF8')), 'hex') as checksum", std::move(args));
  co_return answer.single().get<std::string>("checksum");
}

base::error pooler_between() {
  return base::make_error(base::error_kind::invalid_input,
                          "a connection pooler is between; migrate holds a lock of its session: name the server itself "
                          "with PGFLOW_DATABASE_URL");
}

awaitable<bool> try_lock(postgres::connection& connection) {
  const auto answer = co_await connection.query("select pg_try_advisory_lock(" + std::string(lock_key) + ") as locked");
  co_return answer.single().get<bool>("locked");
}

awaitable<bool> wait_for_lock(postgres::connection& connection, const migrate_options& how) {
  boost::asio::steady_timer timer(co_await boost::asio::this_coro::executor);
  const auto until = std::chrono::steady_clock::now() + how.lock_wait;
  bool said = false;
  for (;;) {
    const bool locked = co_await try_lock(connection);
    if (locked) co_return true;
    if (std::chrono::steady_clock::now() >= until) co_return false;
    if (!said && how.say) how.say("another migrate is at work; waiting for it");
    said = true;
    timer.expires_after(std::chrono::milliseconds(100));
    co_await timer.async_wait(boost::asio::use_awaitable);
  }
}

awaitable<void> apply(postgres::connection& connection, const sql::migration& migration, const migrate_options& how) {
  const auto checksum = co_await checksum_of(connection, migration);
  const auto work = [&](postgres::transaction& open) -> awaitable<void> {
    std::string text(migration.text);
    co_await open.run_script(std::move(text), how.statement_timeout);
    auto args = postgres::make_params(migration.version, migration.title, checksum);
    co_await open.query("insert into quantumflow.schema_migration (version, title, checksum) values ($1, $2, $3)",
                        std::move(args));
  };
  co_await postgres::in_transaction(connection, work);
}

base::result<void> check(const std::vector<migration_status>& all) {
  for (const auto& each : all) {
    const auto name = std::to_string(each.version) + " (" + each.title + ")";
    if (each.state == migration_state::unknown) {
      return base::make_error(base::error_kind::conflict, "the database is newer than this build: it has migration " +
                                                              name + "; install the release that belongs to it");
    }
    if (each.state == migration_state::changed) {
      return base::make_error(base::error_kind::conflict, "migration " + name +
                                                              " was applied from another text than this build holds: "
                                                              "a released migration is never edited");
    }
  }
  return {};
}

awaitable<base::result<std::vector<int>>> migrate_locked(postgres::connection& connection, const migrate_options& how) {
  const auto before = co_await read_status(connection, how.migrations);
  if (const auto fits = check(before); !fits) co_return fits.error();
  std::string script(bootstrap);
  co_await connection.run_script(std::move(script));
  std::vector<int> done;
  for (const auto& migration : how.migrations) {
    const auto status =
        std::find_if(before.begin(), before.end(), [&](const auto& each) { return each.version == migration.version; });
    if (status == before.end() || status->state != migration_state::pending) continue;
    co_await apply(connection, migration, how);
    if (how.say) how.say("applied " + std::to_string(migration.version) + " " + std::string(migration.title));
    done.push_back(migration.version);
  }
  co_return done;
}

}  // namespace

std::string_view to_string(migration_state state) {
  switch (state) {
    case migration_state::applied:
      return "applied";
    case migration_state::pending:
      return "pending";
    case migration_state::changed:
      return "changed";
    case migration_state::unknown:
      return "unknown";
  }
  return "unknown";
}

awaitable<std::vector<migration_status>> read_status(postgres::connection& connection,
                                                     std::span<const sql::migration> migrations) {
  auto applied = co_await read_applied(connection);
  std::vector<migration_status> all;
  for (const auto& migration : migrations) {
    migration_status status;
    status.version = migration.version;
    status.title = std::string(migration.title);
    const auto found = applied.find(migration.version);
    if (found != applied.end()) {
      const auto checksum = co_await checksum_of(connection, migration);
      status.state = checksum == found->second.checksum ? migration_state::applied : migration_state::changed;
      status.applied_at = found->second.applied_at;
      status.applied_by = found->second.applied_by;
      applied.erase(found);
    }
    all.push_back(std::move(status));
  }
  for (const auto& [version, one] : applied) {
    migration_status status;
    status.version = version;
    status.title = one.title;
    status.state = migration_state::unknown;
    status.applied_at = one.applied_at;
    status.applied_by = one.applied_by;
    all.push_back(std::move(status));
  }
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.version < b.version; });
  co_return all;
}

awaitable<base::result<std::vector<int>>> migrate(postgres::connection& connection, migrate_options how) {
  if (connection.pooled()) co_return pooler_between();
  const bool locked = co_await wait_for_lock(connection, how);
  if (!locked) {
    co_return base::make_error(
        base::error_kind::timeout,
        "another migrate is still at work after " + std::to_string(how.lock_wait.count()) + " ms; run it again later");
  }
  std::exception_ptr failure;
  base::result<std::vector<int>> answer = std::vector<int>();
  try {
    answer = co_await migrate_locked(connection, how);
  } catch (...) {
    failure = std::current_exception();
  }
  // The session's end gives the lock back as well, where the connection is not usable any more.
  if (connection.usable() && !connection.in_transaction())
    co_await connection.query("select pg_advisory_unlock(" + std::string(lock_key) + ")");
  if (failure) std::rethrow_exception(failure);
  co_return answer;
}

awaitable<std::int64_t> rebase(postgres::connection& connection, migrate_options how) {
  postgres::params none;
  const auto answer =
      co_await connection.query("select quantumflow.rebase() as pending", std::move(none), how.statement_timeout);
  co_return answer.single().get<std::int64_t>("pending");
}

}  // namespace fleet::central::schema
