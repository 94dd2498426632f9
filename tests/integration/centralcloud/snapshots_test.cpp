// Whoever keeps the database from cleaning up is seen and told of: with a real prepared transaction, slots and a
// standby.
#include <catch2/catch.hpp>

#include "centralcloud_daemon/alerts/monitor.hpp"
#include "common/postgres/pool.hpp"
#include "common/quantumflow/database_checks.hpp"
#include "tests/support/daemons.hpp"
#include "tests/support/private_postgres.hpp"
#include "tests/support/run.hpp"

using namespace fleet;
using namespace fleet::test;
using namespace fleet::central;

namespace {

/// A server on which everybody may hold up cleaning, and a monitor that looks at it when asked.
struct watched_server {
  watched_server() {
    shell("'" + daemon_binary("centralcloud_daemon") + "' migrate --database.url '" + url + "'");
    watched.limits.snapshot_seconds = 600;
    watched.clear_after = std::chrono::milliseconds(0);
  }
  postgres::settings settings() const {
    postgres::settings made;
    made.url = url;
    return made;
  }
  std::string psql(const std::string& sql) const { return server.psql(sql, "watched"); }
  /// The clock of transaction ids as if what has begun had begun an hour ago.
  void an_hour_later() const {
    psql("delete from quantumflow.xid_clock");
    psql("select pg_current_xact_id()");
    psql("select quantumflow.tick_xid_clock()");
    psql("update quantumflow.xid_clock set at = at - interval '1 hour'");
  }
  std::string alerts() {
    const auto look = [&]() -> boost::asio::awaitable<void> {
      auto lease = co_await pool.acquire();
      co_await monitor.pass(*lease);
    };
    run(io, look());
    return psql(
        "select coalesce(string_agg(a ->> 'subject' || ': ' || (a ->> 'text'), '|'), 'none')"
        " from centralcloud.list_alerts() a where a ->> 'name' = 'old_snapshot'");
  }
  bool alerts_become(const std::string& part) {
    return wait_until([&] { return (seen = alerts()).find(part) != std::string::npos; });
  }
  double seconds(const char* holder) {
    return metrics.gauge_of("quantumflow_oldest_transaction_seconds", {{"holder", holder}}).value();
  }

  private_postgres server{{.settings = {{"wal_level", "logical"}, {"max_prepared_transactions", "5"}}}};
  std::string url = server.create_database("watched");
  boost::asio::io_context io;
  postgres::pool pool{io.get_executor(), settings(), 2};
  alerts::monitor_settings watched;
  telemetry::metrics metrics;
  alerts::monitor monitor{pool, watched, telemetry::logger::none(), metrics, {}};
  std::string seen;
};

}  // namespace

TEST_CASE("snapshots: a prepared transaction that nobody ends is an alert that names it, and is over with it") {
  watched_server with;
  with.watched.limits.snapshot_seconds = 0.2;
  CHECK(with.alerts() == "none");
  with.psql("create table kept (n int)");
  with.psql("begin; insert into kept values (1); prepare transaction 'forgotten'");
  CHECK(with.alerts_become("prepared_transaction: a snapshot has been held for "));
  CHECK_THAT(with.seen, Catch::EndsWith("prepared transaction 'forgotten' of role postgres"));
  CHECK(with.seconds("prepared_transaction") > 0.2);
  CHECK(with.seconds("replication_slot") == 0);
  with.psql("rollback prepared 'forgotten'");
  CHECK(with.alerts_become("none"));
  CHECK(with.seconds("prepared_transaction") == 0);
}

TEST_CASE("snapshots: a replication slot that nobody reads is an alert from the time on that it goes back to") {
  watched_server with;
  with.psql("select pg_create_logical_replication_slot('unread', 'pgoutput')");
  with.psql("select quantumflow.tick_xid_clock()");
  CHECK(with.alerts() == "none");
  with.an_hour_later();
  CHECK_THAT(with.alerts(), Catch::Contains("replication_slot: a snapshot has been held for 360") &&
                                Catch::EndsWith("replication slot unread (nobody reads it)"));
  CHECK(with.seconds("replication_slot") >= 3600);
  CHECK(with.seconds("session") < 600);
  CHECK(with.metrics.gauge_of("quantumflow_oldest_xmin_age_transactions", {{"holder", "replication_slot"}}).value() >
        0);
  CHECK(with.psql("select remedy from quantumflow.oldest_snapshot()") == "select pg_drop_replication_slot('unread')");
  with.psql("select pg_drop_replication_slot('unread')");
  CHECK(with.alerts() == "none");
}

TEST_CASE(
    "snapshots: a standby holds cleaning up by its feedback, through a slot or without, and its slot when it is gone") {
  watched_server with;
  private_postgres standby({.standby_of = &with.server,
                            .settings = {{"hot_standby_feedback", "on"}, {"wal_receiver_status_interval", "1"}}});
  postgres::settings reader;
  reader.url = standby.url("watched");
  const auto report = run(with.io, postgres::connection::open(reader));
  run(with.io, report->run_script("begin isolation level repeatable read; select 1"));
  const auto an_hour_old = [&](const std::string& part) {
    return wait_until([&] {
      with.an_hour_later();
      return (with.seen = with.alerts()).find(part) != std::string::npos;
    });
  };
  CHECK(an_hour_old("standby: a snapshot has been held for 360"));
  CHECK_THAT(with.seen, Catch::Contains("standby walreceiver (walsender "));
  with.psql("select pg_create_physical_replication_slot('mirror', true)");
  standby.psql("alter system set primary_slot_name = 'mirror'");
  standby.psql("select pg_reload_conf()");
  CHECK(an_hour_old("replication slot mirror (read by process "));
  CHECK_THAT(with.seen, Catch::StartsWith("standby: "));
  standby.kill9();
  CHECK(an_hour_old("replication slot mirror (nobody reads it)"));
  CHECK_THAT(with.seen, Catch::StartsWith("replication_slot: "));
}
