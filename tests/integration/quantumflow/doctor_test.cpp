// What `doctor` says of a database: every check once against a database that has the trouble.
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <string>

#include "common/quantumflow/database_checks.hpp"
#include "common/quantumflow/schema_version.hpp"
#include "tests/support/daemons.hpp"
#include "tests/support/fleet_database.hpp"
#include "tests/support/private_postgres.hpp"
#include "tests/support/run.hpp"

using namespace fleet;

namespace {

quantumflow::database_checks checks_of(const std::string& url) {
  quantumflow::database_checks what;
  what.database.url = url;
  what.listen.url = url;
  what.connections = 10;
  return what;
}

std::vector<base::finding> examine(quantumflow::database_checks what) {
  boost::asio::io_context io;
  return test::run(io, quantumflow::examine_database(std::move(what)));
}

/// "grade: text -> advice" of one check; empty where it was not made.
std::string said(const std::vector<base::finding>& all, const std::string& check) {
  for (const auto& each : all)
    if (each.check == check)
      return std::string(base::to_string(each.found)) + ": " + each.text +
             (each.advice.empty() ? "" : " -> " + each.advice);
  return {};
}

class shifted_clock : public base::clock {
 public:
  explicit shifted_clock(std::chrono::seconds by) : by_(by) {}
  base::timestamp now() const override { return base::system_clock().now() + by_; }

 private:
  std::chrono::seconds by_;
};

/// PgBouncer in transaction mode in front of the tests' server; it refuses to be root.
class pooler {
 public:
  pooler() : directory_(std::filesystem::temp_directory_path() / ("doctor-pooler-" + std::to_string(::getpid()))) {
    const auto& server = test::private_postgres::shared();
    std::filesystem::create_directories(directory_);
    std::filesystem::permissions(directory_, std::filesystem::perms::all);
    std::ofstream(directory_ / "users.txt") << "\"coordinator\" \"\"\n";
    std::ofstream(directory_ / "pooler.ini")
        << "[databases]\n* = host=127.0.0.1 port=" << server.port() << " user=postgres password=secret\n"
        << "[pgbouncer]\nlisten_addr =\nunix_socket_dir = " << directory_.string() << "\nauth_type = any\n"
        << "pool_mode = transaction\nlogfile = " << (directory_ / "log").string()
        << "\npidfile = " << (directory_ / "pid").string() << "\n";
    const std::string user = ::geteuid() == 0 ? "-u nobody " : "";
    test::shell("PATH=$PATH:/usr/sbin pgbouncer -q -d " + user + (directory_ / "pooler.ini").string() + " 2>&1");
  }
  ~pooler() {
    try {
      test::shell("kill \"$(cat '" + (directory_ / "pid").string() + "')\"");
    } catch (const std::exception&) {
      WARN("the pooler had ended already");
    }
    std::error_code ignored;  // it may be taking its own files away
    std::filesystem::remove_all(directory_, ignored);
  }
  pooler(const pooler&) = delete;
  pooler& operator=(const pooler&) = delete;

  std::string url(const std::string& database) const {
    return "host=" + directory_.string() + " port=6432 user=postgres dbname=" + database;
  }

 private:
  std::filesystem::path directory_;
};

}  // namespace

TEST_CASE("doctor: a coordinator's sound database gives no failure") {
  test::fleet_database("doctor_sound");
  const auto all = examine(checks_of(test::coordinator_url("doctor_sound")));
  // The tests' server has no fsync.
  CHECK_THAT(said(all, "database"), Catch::StartsWith("warn: PostgreSQL ") && Catch::Contains("fsync"));
  CHECK(said(all, "role") == "ok: coordinator, in centralcloud");
  CHECK(said(all, "schema") == "ok: version " + std::to_string(quantumflow::schema_version));
  CHECK_THAT(said(all, "cluster"), Catch::StartsWith("ok: "));
  // Its own one is among them: the coordinator sees no other role's details.
  CHECK_THAT(said(all, "connections"), Catch::StartsWith("ok: ") && !Catch::StartsWith("ok: 0 of"));
  CHECK_THAT(said(all, "clock"), Catch::StartsWith("ok: "));
  CHECK(said(all, "listen") == "ok: a notification arrived");
  CHECK_THAT(said(all, "snapshots"), Catch::StartsWith("ok: "));
  CHECK(all.size() == 8);
}

TEST_CASE("doctor: nobody answers, no schema, a stranger's role") {
  const auto away = examine(checks_of("postgresql://nobody@127.0.0.1:1/none"));
  REQUIRE(away.size() == 1);
  CHECK_THAT(said(away, "database"), Catch::StartsWith("fail: ") && Catch::Contains("mend database.url"));

  auto& server = test::private_postgres::shared();
  const auto empty = examine(checks_of(server.create_database("doctor_empty")));
  CHECK_THAT(said(empty, "schema"), Catch::StartsWith("fail: ") && Catch::Contains("centralcloud_daemon migrate"));
  CHECK_THAT(said(empty, "role"), Catch::StartsWith("warn: postgres is a superuser"));
  CHECK(said(empty, "snapshots").empty());

  test::fleet_database("doctor_stranger");
  server.psql("drop role if exists doctor_stranger");
  server.psql("create role doctor_stranger login");
  const auto stranger = examine(checks_of(server.url("doctor_stranger", "doctor_stranger")));
  CHECK_THAT(said(stranger, "role"), Catch::StartsWith("fail: doctor_stranger is not in centralcloud -> create role"));
}

TEST_CASE("doctor: a schema of another version, and one from another cluster") {
  test::fleet_database("doctor_schema");
  auto& server = test::private_postgres::shared();
  const auto url = test::coordinator_url("doctor_schema");
  server.psql("update quantumflow.origin set system_identifier = 1", "doctor_schema");
  CHECK_THAT(said(examine(checks_of(url)), "cluster"),
             Catch::StartsWith("fail: ") && Catch::Contains("migrate --rebase"));
  server.psql(
      "delete from quantumflow.schema_migration where version = (select max(version) from "
      "quantumflow.schema_migration)",
      "doctor_schema");
  const auto older = examine(checks_of(url));
  CHECK_THAT(said(older, "schema"),
             Catch::StartsWith("fail: ") && Catch::Contains("run `centralcloud_daemon migrate`"));
  CHECK(said(older, "cluster").empty());
}

TEST_CASE("doctor: an agent's role, and the instance it is enrolled for") {
  test::fleet_database("doctor_instance");
  auto what = checks_of(test::agent_url("doctor_instance", "alpha"));
  what.instance = "alpha";
  const auto sound = examine(what);
  CHECK_THAT(said(sound, "role"), Catch::StartsWith("ok: ") && Catch::EndsWith("in singularity_agent"));
  CHECK(said(sound, "instance") == "ok: alpha");
  CHECK_THAT(said(sound, "snapshots"), Catch::StartsWith("ok: "));

  what.instance = "beta";
  CHECK_THAT(said(examine(what), "instance"),
             Catch::StartsWith("fail: the role is enrolled for alpha, and instance.id says beta"));

  test::private_postgres::shared().psql("delete from quantumflow.instance_role", "doctor_instance");
  CHECK_THAT(said(examine(what), "instance"),
             Catch::StartsWith("fail: ") && Catch::Contains("enrolled for no instance"));

  auto coordinator = checks_of(test::coordinator_url("doctor_instance"));
  coordinator.instance = "alpha";
  CHECK_THAT(said(examine(coordinator), "role"),
             Catch::StartsWith("fail: coordinator is not in singularity_agent") && Catch::Contains("enroll alpha"));
}

TEST_CASE("doctor: clocks that differ") {
  test::fleet_database("doctor_clock");
  auto what = checks_of(test::coordinator_url("doctor_clock"));
  const shifted_clock ahead(std::chrono::seconds(5));
  const shifted_clock behind(std::chrono::seconds(-60));
  what.clock = &ahead;
  CHECK_THAT(said(examine(what), "clock"), Catch::StartsWith("warn: ") && Catch::Contains("ahead of the database's"));
  what.clock = &behind;
  CHECK_THAT(said(examine(what), "clock"), Catch::StartsWith("fail: ") && Catch::Contains("behind the database's"));
}

TEST_CASE("doctor: a pooler keeps notifications away") {
  test::fleet_database("doctor_pooler");
  const pooler between;
  auto what = checks_of(test::coordinator_url("doctor_pooler"));
  what.listen.url = between.url("doctor_pooler");
  CHECK_THAT(said(examine(what), "listen"), Catch::StartsWith("warn: a connection pooler is between"));
}

TEST_CASE("doctor: a snapshot that somebody holds, with its holder") {
  test::fleet_database("doctor_snapshot");
  auto what = checks_of(test::coordinator_url("doctor_snapshot"));
  what.old_snapshot = std::chrono::seconds(0);
  boost::asio::io_context io;
  postgres::settings holder;
  holder.url = test::private_postgres::shared().url("doctor_snapshot");
  holder.application_name = "a report";
  const auto held = test::run(io, postgres::connection::open(holder));
  test::run(io, held->run_script("begin isolation level repeatable read; select 1"));
  const auto text = said(examine(what), "snapshots");
  CHECK_THAT(text, Catch::StartsWith("warn: ") && Catch::Contains("role postgres (a report, idle in transaction)"));
  CHECK_THAT(text, Catch::Contains("pg_terminate_backend(" + std::to_string(held->backend_pid()) + ")"));

  auto agent = checks_of(test::agent_url("doctor_snapshot", "alpha"));
  agent.instance = "alpha";
  agent.old_snapshot = std::chrono::seconds(0);
  const auto hidden = said(examine(agent), "snapshots");
  CHECK_THAT(hidden, Catch::StartsWith("warn: the oldest is held by a session") && !Catch::Contains("a report"));
}

TEST_CASE("doctor: fewer connections are free than the daemon opens") {
  test::fleet_database("doctor_connections");
  auto what = checks_of(test::coordinator_url("doctor_connections"));
  what.connections = 100'000;
  CHECK_THAT(said(examine(what), "connections"), Catch::StartsWith("warn: ") && Catch::Contains("max_connections"));
}

TEST_CASE("doctor: a standby cannot be written to, and a server with fsync is no matter") {
  test::private_postgres server({.fsync = true});
  const auto url = server.create_database("doctor_standby");
  CHECK_THAT(said(examine(checks_of(url)), "database"), Catch::StartsWith("ok: "));
  server.stop();
  const auto data =
      test::shell("dirname \"$(find '" + server.directory() + "' -name PG_VERSION -maxdepth 3 | head -n 1)\"");
  test::shell("touch '" + data + "/standby.signal' && chown --reference='" + data + "' '" + data + "/standby.signal'");
  server.start();
  CHECK_THAT(said(examine(checks_of(url)), "database"),
             Catch::StartsWith("fail: ") && Catch::Contains("target_session_attrs=read-write"));
}
