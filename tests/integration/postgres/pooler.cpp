// Through a real PgBouncer in transaction mode.
#include <boost/asio/co_spawn.hpp>
#include <catch2/catch.hpp>

#include "centralcloud_daemon/schema/migrate.hpp"
#include "common/postgres/connection.hpp"
#include "common/postgres/listener.hpp"
#include "common/postgres/transaction.hpp"
#include "tests/support/pgbouncer.hpp"
#include "tests/support/private_postgres.hpp"
#include "tests/support/run.hpp"

using namespace fleet;
using namespace std::chrono_literals;
using test::private_postgres;
using test::run;

namespace {

/// Two server sessions before which clients take turns.
struct pooled {
  pooled() : between(private_postgres::shared()) {
    direct.url = private_postgres::shared().url() + "&password=secret";
    through.url = between.route(direct.url);
  }
  std::unique_ptr<postgres::connection> open() { return run(io, postgres::connection::open(through)); }
  std::string ask(postgres::connection& on, const std::string& what) {
    return run(io, on.query("select " + what + " as answer")).single().get<std::string>("answer");
  }
  std::string ask(postgres::transaction& in, const std::string& what) {
    return run(io, in.query("select " + what + " as answer")).single().get<std::string>("answer");
  }

  boost::asio::io_context io;
  test::pgbouncer between;
  postgres::settings direct;
  postgres::settings through;
};

}  // namespace

TEST_CASE("pooler: is found where there is one") {
  pooled with;
  CHECK(with.open()->pooled());
  CHECK_FALSE(run(with.io, postgres::connection::open(with.direct))->pooled());
}

TEST_CASE("pooler: clients that share server sessions run the same statements, and leave nothing of theirs in them") {
  pooled with;
  with.through.statement_timeout = 4321ms;
  const auto one = with.open();
  const auto other = with.open();
  const std::string sql = "select $1::int + 1 as answer";
  for (int i = 0; i < 4; ++i) {
    for (auto* each : {one.get(), other.get()}) {
      auto arguments = postgres::make_params(i);
      CHECK(run(with.io, each->query(sql, std::move(arguments))).single().get<int>("answer") == i + 1);
    }
  }
  {
    auto open = run(with.io, postgres::transaction::begin(*one));
    CHECK(with.ask(open, "current_setting('statement_timeout')") == "4321ms");
    CHECK(with.ask(open, "current_setting('TimeZone')") == "UTC");
    // The other client runs in the second session meanwhile.
    CHECK(with.ask(*other, "pg_backend_pid()::text") != with.ask(open, "pg_backend_pid()::text"));
    run(with.io, open.commit());
  }
  for (int i = 0; i < 4; ++i) CHECK(with.ask(*one, "current_setting('statement_timeout')") == "0");
}

TEST_CASE("pooler: a statement over its time is ended by the server inside a transaction") {
  pooled with;
  with.through.statement_timeout = 100ms;
  with.through.client_grace = 10s;
  const auto one = with.open();
  auto open = run(with.io, postgres::transaction::begin(*one));
  CHECK_THROWS_WITH(with.ask(open, "pg_sleep(5)::text"), Catch::Contains("statement timeout"));
  run(with.io, open.rollback());
  CHECK(with.ask(*one, "'still usable'") == "still usable");
}

TEST_CASE("pooler: a listener stays down, says why, and leaves no LISTEN behind") {
  pooled with;
  std::string states;
  async::stop_source stop(with.io.get_executor());
  postgres::listener_timing timing;
  timing.pooled_retry = 20ms;
  postgres::listener listener(
      with.io.get_executor(), with.through, {"first"}, {}, [&](bool up) { states += up ? "+" : "-"; }, timing);
  bool ended = false;
  boost::asio::co_spawn(with.io, listener.run(stop.token()), [&](std::exception_ptr) { ended = true; });
  REQUIRE(test::run_until(with.io, [&] { return states == "--"; }));
  CHECK_FALSE(listener.up());
  CHECK_THAT(listener.last_error(), Catch::Contains("a connection pooler is between"));
  stop.request_soft();
  REQUIRE(test::run_until(with.io, [&] { return ended; }));
  const auto one = with.open();
  CHECK(with.ask(*one, "(select count(*)::text from pg_listening_channels())") == "0");
}

TEST_CASE("pooler: migrate refuses it, and says what to name instead") {
  pooled with;
  const auto one = with.open();
  const auto answer = run(with.io, central::schema::migrate(*one));
  REQUIRE(answer.has_error());
  CHECK_THAT(answer.error().message, Catch::Contains("PGFLOW_DATABASE_URL"));
}
