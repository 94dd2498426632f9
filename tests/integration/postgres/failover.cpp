// Several hosts, standbys, and servers that go silent: what daemons live through around a failover.
#include <signal.h>

#include <catch2/catch.hpp>
#include <string>

#include "common/postgres/pool.hpp"
#include "tests/support/private_postgres.hpp"
#include "tests/support/run.hpp"

using namespace fleet::postgres;
using namespace std::chrono_literals;
using fleet::test::private_postgres;

namespace {

settings to(const private_postgres& first, const private_postgres& second, const std::string& more = "") {
  settings how;
  how.url = "host=127.0.0.1,127.0.0.1 port=" + std::to_string(first.port()) + "," + std::to_string(second.port()) +
            " user=postgres password=secret dbname=postgres " + more;
  how.statement_timeout = 1s * fleet::test::patience();
  how.client_grace = 200ms * fleet::test::patience();
  return how;
}

/// Runs statements on connections of a pool.
struct user {
  explicit user(const settings& how) : connections(io.get_executor(), how, 2) {}
  /// The host and port where the statement was run.
  std::string server_of(const std::string& sql) {
    const auto work = [&]() -> boost::asio::awaitable<std::string> {
      auto held = co_await connections.acquire(1s * fleet::test::patience());
      co_await held->query(sql);
      co_return held->server();
    };
    return fleet::test::run(io, work());
  }
  boost::asio::io_context io;
  pool connections;
};

sql_kind failure_of(user& of, const std::string& sql) {
  try {
    of.server_of(sql);
  } catch (const sql_error& error) {
    return error.kind();
  }
  return sql_kind::other;
}

std::string name_of(const private_postgres& server) {
  return "127.0.0.1:" + std::to_string(server.port());
}

}  // namespace

TEST_CASE("failover: of a standby and a primary the primary is found, also after they changed places") {
  private_postgres standby({.fsync = false, .standby = true});
  private_postgres primary;
  REQUIRE(standby.psql("select pg_is_in_recovery()") == "t");
  user daemon(to(standby, primary));
  CHECK(daemon.server_of("create table written(n int)") == name_of(primary));

  primary.kill9();
  // Nobody can be written to now, although somebody answers.
  CHECK_THROWS_AS(daemon.server_of("insert into written values (1)"), fleet::base::failure);
  standby.psql("select pg_promote()");
  CHECK(daemon.server_of("create table written(n int)") == name_of(standby));
}

TEST_CASE("failover: a server that takes no writes any more is left, although the connection to it is alive") {
  private_postgres old_primary;
  private_postgres next;
  next.psql("create table written(n int)");
  old_primary.psql("create table written(n int)");
  user daemon(to(old_primary, next));
  REQUIRE(daemon.server_of("insert into written values (1)") == name_of(old_primary));
  old_primary.psql("alter system set default_transaction_read_only = on");
  old_primary.psql("select pg_reload_conf()");
  const auto refused = [&] { return failure_of(daemon, "insert into written values (2)") == sql_kind::read_only; };
  CHECK(fleet::test::run_until(daemon.io, refused));
  CHECK(daemon.server_of("insert into written values (3)") == name_of(next));
  CHECK(daemon.connections.stats().dropped_total == 1);
}

TEST_CASE("failover: a session whose server does not answer any more is given up at the deadline, and replaced") {
  private_postgres server;
  user daemon(to(server, server));
  // A backend that is stopped looks like a half-open connection: what is sent arrives, and nothing comes back.
  const auto stop_it = [&]() -> boost::asio::awaitable<pid_t> {
    auto held = co_await daemon.connections.acquire();
    co_return static_cast<pid_t>(held->backend_pid());
  };
  const auto stopped = fleet::test::run(daemon.io, stop_it());
  REQUIRE(::kill(stopped, SIGSTOP) == 0);
  const auto began = std::chrono::steady_clock::now();
  CHECK(failure_of(daemon, "select 1") == sql_kind::timeout);
  CHECK(std::chrono::steady_clock::now() - began < 5s * fleet::test::patience());
  CHECK(daemon.server_of("select 1") == name_of(server));
  CHECK(daemon.connections.stats().open == 1);
  ::kill(stopped, SIGCONT);
}
