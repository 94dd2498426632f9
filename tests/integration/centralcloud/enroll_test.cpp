// `centralcloud_daemon enroll`, over connections that need a password.
#include <catch2/catch.hpp>
#include <cstdlib>
#include <fstream>
#include <string>

#include "common/postgres/login.hpp"
#include "tests/support/daemons.hpp"
#include "tests/support/fleet_database.hpp"
#include "tests/support/private_postgres.hpp"

using namespace fleet;

namespace {

struct command_result {
  int code = 0;
  std::string output;  ///< of both streams
};

command_result run_command(const std::string& arguments, const std::string& url) {
  const auto text = test::shell("'" + test::daemon_binary("centralcloud_daemon") + "' " + arguments +
                                " --database.url '" + url + "' 2>&1; echo \"exit $?\"");
  const auto at = text.rfind("exit ");
  return {std::atoi(text.c_str() + at + 5), text.substr(0, at)};
}

std::string url_in(const std::string& output) {
  const auto at = output.find("url = ");
  return at == std::string::npos ? "" : output.substr(at + 6, output.find('\n', at) - at - 6);
}

/// Who the session is, or psql's error.
std::string who_is(const std::string& url) {
  return test::shell("psql -X -At '" + url + "' -c 'select quantumflow.session_instance()' 2>&1; true");
}

std::string admin_url(const std::string& database) {
  return test::private_postgres::shared().tcp_url(database);
}

}  // namespace

TEST_CASE("enroll: a role, its password, a new password, and none any more") {
  const std::string database = "enroll_story";
  test::fleet_database(database);
  const auto admin = admin_url(database);
  const auto enrolled = run_command("enroll alpha", admin);
  INFO(enrolled.output);
  REQUIRE(enrolled.code == 0);
  CHECK_THAT(enrolled.output, Catch::Contains("[instance]\nid = alpha\n[database]\nurl = postgresql://"));
  const auto first = url_in(enrolled.output);
  CHECK(who_is(first) == "alpha");

  const auto again = run_command("enroll alpha", admin);
  CHECK(again.code == 1);
  CHECK_THAT(again.output, Catch::Contains("\"alpha\" is enrolled already: enroll --rotate-password"));

  const auto rotated = run_command("enroll alpha --rotate-password", admin);
  INFO(rotated.output);
  REQUIRE(rotated.code == 0);
  CHECK_THAT(who_is(first), Catch::Contains("password authentication failed"));
  CHECK(who_is(url_in(rotated.output)) == "alpha");

  const auto& server = test::private_postgres::shared();
  server.psql("select quantumflow.publish('rollback_triggers_queue', '{}', 'alpha')", database);
  const auto removed = run_command("enroll --remove alpha", admin);
  INFO(removed.output);
  CHECK(removed.code == 0);
  CHECK_THAT(who_is(url_in(rotated.output)), Catch::Contains("password authentication failed"));
  CHECK(server.psql("select count(*) from quantumflow.list_pending_messages('rollback_triggers_queue')", database) ==
        "1");
  CHECK(server.psql("select count(*) from pg_roles where rolname = 'enroll_story_alpha'") == "0");
  CHECK(run_command("enroll --remove alpha", admin).code == 1);
}

TEST_CASE("enroll: the password of a file; what it cannot take") {
  const std::string database = "enroll_file";
  test::fleet_database(database);
  const auto admin = admin_url(database);
  const auto file = test::shell("mktemp");
  std::ofstream(file) << "correct horse battery \n";
  const auto good = run_command("enroll 'web 1/ä' --json --password-file " + file, admin);
  INFO(good.output);
  CHECK(good.code == 0);
  CHECK(who_is(postgres::login_url(admin, {"enroll_file_web 1/ä", "correct horse battery", database})) == "web 1/ä");
  std::ofstream(file) << "short\n";
  CHECK(run_command("enroll b --password-file " + file, admin).code == 2);
  std::remove(file.c_str());
  CHECK(run_command("enroll b --password-file " + file, admin).code == 2);
  CHECK(run_command("enroll b --remove --rotate-password", admin).code == 2);
  CHECK(run_command("enroll '' ", admin).code == 2);
  const auto reserved = run_command("enroll centralcloud", admin);
  CHECK(reserved.code == 1);
  CHECK_THAT(reserved.output, Catch::Contains("instance_id: "));
  // An id may be longer than a role's name.
  const std::string longest(200, 'x');
  const auto url = url_in(run_command("enroll " + longest, admin).output);
  CHECK(who_is(url) == longest);
}

TEST_CASE("enroll: who may not make roles is told who may") {
  const std::string database = "enroll_refused";
  test::fleet_database(database);
  const auto refused = run_command("enroll alpha", test::coordinator_url(database));
  CHECK(refused.code == 1);
  CHECK_THAT(refused.output, Catch::Contains("permission denied"));
  CHECK_THAT(refused.output, Catch::Contains("a role with CREATEROLE that is a member of quantumflow_owner"));
}

TEST_CASE("enroll: databases of one cluster do not share an instance's role; one made anew finds its own") {
  const auto& server = test::private_postgres::shared();
  for (const auto* database : {"enroll_one", "enroll_two"}) {
    test::fleet_database(database);
    CHECK(who_is(url_in(run_command("enroll alpha", admin_url(database)).output)) == "alpha");
  }
  test::fleet_database("enroll_one");
  CHECK(who_is(url_in(run_command("enroll alpha", admin_url("enroll_one")).output)) == "alpha");
  // A role of that name that is somebody else's is left alone.
  server.psql("create role enroll_one_beta login password 'theirs'");
  const auto refused = run_command("enroll beta", admin_url("enroll_one"));
  CHECK(refused.code == 1);
  CHECK_THAT(refused.output, Catch::Contains("that is not the one of this instance"));
  CHECK_THAT(who_is(postgres::login_url(admin_url("enroll_one"), {"enroll_one_beta", "theirs", "enroll_one"})),
             Catch::Contains("permission denied for schema"));
}

TEST_CASE("migrate: databases of one cluster at once; roles that somebody else has to make") {
  auto& server = test::private_postgres::shared();
  server.psql("drop role if exists plain_migrator");
  server.psql("create role plain_migrator login createrole");
  std::string all;
  for (int i = 0; i < 4; ++i) {
    const auto name = "migrate_race_" + std::to_string(i);
    server.create_database(name);
    server.psql("alter database " + name + " owner to plain_migrator");
    all += "'" + test::daemon_binary("centralcloud_daemon") + "' migrate --database.url '" +
           server.url(name, "plain_migrator") + "' & p" + std::to_string(i) + "=$!; ";
  }
  test::shell(all + "wait $p0 && wait $p1 && wait $p2 && wait $p3");
  CHECK(server.psql("select quantumflow.schema_version() > 0", "migrate_race_3") == "t");

  server.psql("create role powerless_migrator login");
  server.create_database("migrate_powerless");
  server.psql("alter database migrate_powerless owner to powerless_migrator");
  const auto url = server.url("migrate_powerless", "powerless_migrator");
  const auto refused = run_command("migrate", url);
  CHECK(refused.code == 1);
  CHECK_THAT(refused.output, Catch::Contains("run sql/roles.sql as an administrator first"));
  test::shell("psql -X -q -v migrator=powerless_migrator '" + server.url() + "' -f '" + std::string(FLEET_SOURCE_DIR) +
              "/sql/roles.sql'");
  const auto done = run_command("migrate", url);
  INFO(done.output);
  CHECK(done.code == 0);
}
