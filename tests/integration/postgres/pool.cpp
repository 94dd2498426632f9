#include "common/postgres/pool.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <catch2/catch.hpp>

#include "tests/support/private_postgres.hpp"
#include "tests/support/run.hpp"

using namespace std::chrono_literals;
using boost::asio::awaitable;
using fleet::base::error_kind;
using fleet::postgres::lease;
using fleet::postgres::pool;
using fleet::postgres::settings;
using fleet::test::private_postgres;
using fleet::test::run;
using fleet::test::run_until;

namespace {

settings to(std::string url) {
  settings how;
  how.url = std::move(url);
  return how;
}

awaitable<void> take(pool& from, std::vector<int>& order, int number, std::vector<lease>& kept) {
  auto taken = co_await from.acquire(15s);
  order.push_back(number);
  kept.push_back(std::move(taken));
}

error_kind failure_of(boost::asio::io_context& io, pool& from, std::chrono::milliseconds limit) {
  try {
    run(io, from.acquire(limit));
  } catch (const fleet::base::failure& failed) {
    return failed.get().kind;
  }
  return error_kind::internal;
}

}  // namespace

TEST_CASE("pool: opens when needed, reuses, and never more than its size") {
  boost::asio::io_context io;
  pool of(io.get_executor(), to(private_postgres::shared().url()), 2);
  CHECK(of.stats().open == 0);
  auto first = run(io, of.acquire());
  const int pid = first->backend_pid();
  first.release();
  auto again = run(io, of.acquire());
  CHECK(again->backend_pid() == pid);
  auto second = run(io, of.acquire());
  CHECK(of.stats().open == 2);
  CHECK(failure_of(io, of, 50ms) == error_kind::unavailable);
  CHECK(of.stats().waiting == 0);
}

TEST_CASE("pool: first come, first served") {
  boost::asio::io_context io;
  pool of(io.get_executor(), to(private_postgres::shared().url()), 1);
  auto held = run(io, of.acquire());
  std::vector<int> order;
  std::vector<lease> kept;
  for (int i = 0; i < 3; ++i) boost::asio::co_spawn(io, take(of, order, i, kept), boost::asio::detached);
  REQUIRE(run_until(io, [&] { return of.stats().waiting == 3; }));
  held.release();
  for (std::size_t i = 1; i <= 3; ++i) {
    REQUIRE(run_until(io, [&] { return order.size() == i; }));
    kept.clear();
  }
  CHECK(order == std::vector<int>{0, 1, 2});
}

TEST_CASE("pool: what is broken or inside a transaction is not handed on") {
  boost::asio::io_context io;
  pool of(io.get_executor(), to(private_postgres::shared().url()), 1);
  auto held = run(io, of.acquire());
  const int first = held->backend_pid();
  run(io, held->query("begin"));
  held.release();
  auto next = run(io, of.acquire());
  const int second = next->backend_pid();
  CHECK(second != first);
  next.release();
  private_postgres::shared().psql("select pg_terminate_backend(" + std::to_string(second) + ")");
  run_until(io, [&] {
    auto probe = run(io, of.acquire());
    return probe->backend_pid() != second;
  });
  auto third = run(io, of.acquire());
  CHECK(run(io, third->query("select 1")).size() == 1);
  CHECK(of.stats().dropped_total >= 2);
}

TEST_CASE("pool: idle connections are trimmed, a lease may outlive the pool") {
  boost::asio::io_context io;
  lease outliving;
  {
    pool of(io.get_executor(), to(private_postgres::shared().url()), 2);
    outliving = run(io, of.acquire());
    { auto idle = run(io, of.acquire()); }
    CHECK(of.idle_trim(1h) == 0);
    CHECK(of.idle_trim(0ms) == 1);
    CHECK(of.stats().open == 1);
  }
  CHECK(run(io, outliving->query("select 1")).size() == 1);
}

TEST_CASE("pool: a dead database is not hammered, and is found again when it is back") {
  private_postgres server;
  boost::asio::io_context io;
  pool of(io.get_executor(), to(server.url()), 8);
  { auto works = run(io, of.acquire()); }
  server.stop();
  std::vector<int> order;
  std::vector<lease> kept;
  const auto began = std::chrono::steady_clock::now();
  for (int i = 0; i < 6; ++i) CHECK(failure_of(io, of, 100ms) == error_kind::unavailable);
  const auto waited = std::chrono::steady_clock::now() - began;
  CHECK_FALSE(of.stats().last_connect_error.empty());
  CHECK_FALSE(of.available());
  // By backoff (50, 100, 200, 400 … ms): far fewer attempts than callers could have made.
  INFO("attempts: " << of.stats().connect_failures_total << " in " << waited / 1ms << " ms");
  CHECK(of.stats().connect_failures_total <= static_cast<std::uint64_t>(4 + waited / 200ms));
  boost::asio::co_spawn(io, take(of, order, 1, kept), boost::asio::detached);
  io.restart();
  io.poll();
  server.start();
  CHECK(run_until(io, [&] { return kept.size() == 1; }));
  CHECK(of.stats().last_connect_error.empty());
  CHECK(of.available());
}

TEST_CASE("pool: the database is there as long as one connection works, although no further one can be opened") {
  auto& server = private_postgres::shared();
  const auto url = server.create_database("pool_available");
  boost::asio::io_context io;
  pool of(io.get_executor(), to(url), 2);
  CHECK(of.available());
  auto works = run(io, of.acquire());
  server.psql("alter database pool_available allow_connections false");
  CHECK(failure_of(io, of, 100ms) == error_kind::unavailable);
  CHECK_FALSE(of.available());
  works.release();
  CHECK(of.available());
}

TEST_CASE("pool: what trying again cannot mend is told at once") {
  boost::asio::io_context io;
  pool of(io.get_executor(), to(private_postgres::shared().url("no_such_database")), 2);
  CHECK(failure_of(io, of, 20s) == error_kind::not_found);
}
