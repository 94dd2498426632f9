#include "common/postgres/transaction.hpp"

#include <signal.h>

#include <catch2/catch.hpp>

#include "tests/support/private_postgres.hpp"
#include "tests/support/run.hpp"

using boost::asio::awaitable;
using fleet::postgres::connection;
using fleet::postgres::in_transaction;
using fleet::postgres::settings;
using fleet::postgres::sql_error;
using fleet::postgres::sql_kind;
using fleet::postgres::transaction;
using fleet::test::private_postgres;

namespace {

settings to(std::string url) {
  settings how;
  how.url = std::move(url);
  return how;
}

awaitable<std::int64_t> count(connection& db) {
  const auto got = co_await db.query("select count(*) n from t");
  co_return got.single().get<std::int64_t>("n");
}

std::unique_ptr<connection> open_with_table(boost::asio::io_context& io, const std::string& url) {
  auto db = fleet::test::run(io, connection::open(to(url)));
  fleet::test::run(
      io, db->run_script("drop table if exists t; create table t (x int unique deferrable initially deferred)"));
  return db;
}

}  // namespace

TEST_CASE("transaction: what is to be told of it is told once it is committed, and only then") {
  boost::asio::io_context io;
  const auto db = open_with_table(io, private_postgres::shared().create_database("transaction_told"));
  std::string told;
  const auto insert = [&](transaction& open, int x) -> awaitable<void> {
    const auto before = told;
    open.on_commit([&told, x] { told += std::to_string(x); });
    co_await open.query("insert into t values ($1)", fleet::postgres::make_params(x));
    CHECK(told == before);
  };
  auto both = [&](transaction& open) -> awaitable<void> {
    co_await insert(open, 1);
    co_await insert(open, 2);
  };
  fleet::test::run(io, in_transaction(*db, both));
  CHECK(told == "12");
  auto broken = [&](transaction& open) -> awaitable<void> {
    co_await insert(open, 3);
    throw std::logic_error("changed my mind");
  };
  CHECK_THROWS_AS(fleet::test::run(io, in_transaction(*db, broken)), std::logic_error);
  auto twice = [&](transaction& open) -> awaitable<void> {
    co_await insert(open, 4);
    co_await insert(open, 1);  // refused at the commit
  };
  CHECK_THROWS_AS(fleet::test::run(io, in_transaction(*db, twice)), sql_error);
  CHECK(told == "12");
}

TEST_CASE("transaction: what fails in a savepoint is undone and not told, and the rest is committed") {
  boost::asio::io_context io;
  const auto db = open_with_table(io, private_postgres::shared().create_database("transaction_savepoint"));
  std::string told;
  auto work = [&](transaction& open) -> awaitable<int> {
    int failures = 0;
    for (int x = 1; x <= 5; ++x) {
      const auto one = [&]() -> awaitable<int> {
        co_await open.query("insert into t values ($1)", fleet::postgres::make_params(x));
        open.on_commit([&told, x] { told += std::to_string(x); });
        if (x == 2) co_await open.query("select 1/0");
        if (x == 4) throw std::logic_error("changed my mind");
        co_return x;
      };
      try {
        const int given = co_await fleet::postgres::in_savepoint(open, one);
        CHECK(given == x);
      } catch (const std::exception&) {
        ++failures;
      }
    }
    co_return failures;
  };
  CHECK(fleet::test::run(io, in_transaction(*db, work)) == 2);
  CHECK(fleet::test::run(io, count(*db)) == 3);
  CHECK(told == "135");
}

TEST_CASE("transaction: commits what was done and gives the result; an exception rolls back and is passed on") {
  boost::asio::io_context io;
  const auto db = open_with_table(io, private_postgres::shared().create_database("transaction"));
  auto insert = [](transaction& open) -> awaitable<int> {
    co_await open.query("insert into t values (1)");
    co_return 7;
  };
  CHECK(fleet::test::run(io, in_transaction(*db, insert)) == 7);
  CHECK(fleet::test::run(io, count(*db)) == 1);

  auto broken = [](transaction& open) -> awaitable<void> {
    co_await open.query("insert into t values (2)");
    throw std::logic_error("changed my mind");
  };
  CHECK_THROWS_AS(fleet::test::run(io, in_transaction(*db, broken)), std::logic_error);
  auto failing = [](transaction& open) -> awaitable<void> {
    co_await open.query("insert into t values (3)");
    co_await open.query("select 1/0");
  };
  CHECK_THROWS_AS(fleet::test::run(io, in_transaction(*db, failing)), sql_error);
  CHECK(db->usable());
  CHECK_FALSE(db->in_transaction());
  CHECK(fleet::test::run(io, count(*db)) == 1);
}

TEST_CASE(
    "transaction: a commit that the server turns into a rollback, or refuses, is a failure with a known outcome") {
  boost::asio::io_context io;
  const auto db = open_with_table(io, private_postgres::shared().create_database("transaction"));
  auto swallowed = [](transaction& open) -> awaitable<void> {
    try {
      co_await open.query("select 1/0");
    } catch (const sql_error&) {
    }
  };
  try {
    fleet::test::run(io, in_transaction(*db, swallowed));
    FAIL("no failure");
  } catch (const sql_error& error) {
    CHECK(error.sqlstate() == "40000");
    CHECK_FALSE(error.outcome_unknown());
  }
  auto duplicate = [](transaction& open) -> awaitable<void> { co_await open.query("insert into t values (1), (1)"); };
  try {
    fleet::test::run(io, in_transaction(*db, duplicate));
    FAIL("no failure");
  } catch (const sql_error& error) {
    CHECK(error.kind() == sql_kind::constraint);
    CHECK_FALSE(error.outcome_unknown());
  }
  CHECK(db->usable());
  CHECK_FALSE(db->in_transaction());
}

TEST_CASE("transaction: left unfinished, it makes the connection unusable") {
  boost::asio::io_context io;
  const auto db = open_with_table(io, private_postgres::shared().create_database("transaction"));
  {
    const auto open = fleet::test::run(io, transaction::begin(*db));
    CHECK(db->in_transaction());
    CHECK_THROWS_AS(fleet::test::run(io, transaction::begin(*db)), fleet::base::failure);
  }
  CHECK_FALSE(db->usable());
}

TEST_CASE("transaction: a commit whose reply is lost has an unknown outcome") {
  private_postgres server;
  boost::asio::io_context io;
  const auto db = open_with_table(io, server.create_database("lost"));
  auto open = fleet::test::run(io, transaction::begin(*db));
  fleet::test::run(io, open.query("insert into t values (1)"));
  // Stopped first, so that COMMIT is sent and not answered; killed while it waits.
  ::kill(db->backend_pid(), SIGSTOP);
  boost::asio::steady_timer timer(io, std::chrono::milliseconds(100));
  timer.async_wait([&](boost::system::error_code) {
    server.kill9();
    ::kill(db->backend_pid(), SIGKILL);
  });
  try {
    fleet::test::run(io, open.commit());
    FAIL("committed");
  } catch (const sql_error& error) {
    INFO(error.what());
    CHECK(error.kind() == sql_kind::connection_lost);
    CHECK(error.outcome_unknown());
  }
  CHECK_FALSE(open.active());
  CHECK_FALSE(db->usable());
}

TEST_CASE("transaction: a connection lost before the commit was sent has a known outcome") {
  private_postgres server;
  boost::asio::io_context io;
  const auto db = open_with_table(io, server.create_database("lost"));
  auto open = fleet::test::run(io, transaction::begin(*db));
  fleet::test::run(io, open.query("insert into t values (1)"));
  server.kill9();
  fleet::test::run_until(io, [&] { return !db->check_alive(); });
  try {
    fleet::test::run(io, open.commit());
    FAIL("committed");
  } catch (const sql_error& error) {
    CHECK(error.kind() == sql_kind::connection_lost);
    CHECK_FALSE(error.outcome_unknown());
  }
}

namespace {

awaitable<bool> division_fails(transaction& open, std::optional<std::chrono::milliseconds> timeout) {
  try {
    fleet::postgres::params none;
    co_await open.query("select 1/0", std::move(none), timeout);
  } catch (const sql_error& error) {
    co_return error.sqlstate() == "22012";
  }
  co_return false;
}

/// No transaction that has written is open.
awaitable<bool> stands_alone(connection& db) {
  const auto answer = co_await db.query("select pg_current_xact_id_if_assigned() is null as alone");
  co_return answer.single().get<bool>("alone");
}

awaitable<void> begin_in_every_way(connection& db) {
  auto unused = co_await transaction::begin(db);
  CHECK(db.in_transaction());
  co_await unused.commit();
  CHECK_FALSE(db.in_transaction());
  const bool outside = co_await stands_alone(db);
  CHECK(outside);

  auto used = co_await transaction::begin(db);
  co_await used.query("insert into t values (1)");
  const bool inside = co_await stands_alone(db);
  CHECK_FALSE(inside);
  co_await used.rollback();
  auto scripted = co_await transaction::begin(db);
  co_await scripted.run_script("insert into t values (2); insert into t values (3)");
  co_await scripted.rollback();

  // A failure of the first statement leaves a failed transaction; a longer limit set for it goes with that.
  std::optional<std::chrono::milliseconds> longer;
  for (int i = 0; i < 2; ++i) {
    auto failing = co_await transaction::begin(db);
    const bool failed = co_await division_fails(failing, longer);
    CHECK(failed);
    CHECK(db.in_transaction());
    co_await failing.rollback();
    CHECK(db.usable());
    longer = std::chrono::minutes(10);
  }
  const auto limit = co_await db.query("select current_setting('statement_timeout') as setting");
  CHECK(limit.single().get<std::string>("setting") != "10min");
}

}  // namespace

TEST_CASE("transaction: BEGIN goes with the first statement, whatever that is and however it ends") {
  boost::asio::io_context io;
  const auto db = open_with_table(io, private_postgres::shared().create_database("transaction_begin"));
  fleet::test::run(io, begin_in_every_way(*db));
  CHECK(fleet::test::run(io, count(*db)) == 0);
}
