// Two agents that say they are the same instance: one is, the other waits and says so.
#include <signal.h>

#include <boost/json/serialize.hpp>
#include <catch2/catch.hpp>

#include "tests/support/daemons.hpp"
#include "tests/support/private_postgres.hpp"
#include "tests/support/run.hpp"

using namespace fleet::test;
using namespace std::chrono_literals;

namespace {

std::string readiness(const agent_process& agent) {
  return boost::json::serialize(agent.raw_call("GET", "/readyz", "").body);
}

}  // namespace

TEST_CASE(
    "instance: a second agent of one instance waits, says who has it, and goes on at once when that one crashed") {
  daemon_fleet fleet({.name = "instance_twice", .agents = 1, .agent_settings = {{"log.level", "info"}}});
  auto& first = fleet.agent(0);
  const auto url = shell("sed -n 's/^url = //p' '" + first.directory + "/agent.ini'");
  const auto folder = fleet.directory + "/second";
  shell("mkdir '" + folder + "'");
  agent_process second(folder, first.instance, url, {{"log.level", "info"}});
  second.start();
  const auto waits = [&] { return second.process.log().find("instance_held") != std::string::npos; };
  REQUIRE(wait_until(waits));
  CHECK_FALSE(second.ready());
  CHECK_THAT(readiness(second), Catch::Contains("process " + std::to_string(first.process.pid()) + " on ") &&
                                    Catch::Contains(first.socket));
  CHECK(first.ready());

  SECTION("a crash") {
    first.process.kill9();
    const auto killed = std::chrono::steady_clock::now();
    REQUIRE(wait_until([&] { return second.ready(); }));
    // Not the lease of 15 s, but the end of its session.
    CHECK(std::chrono::steady_clock::now() - killed < 8s * patience());
  }
  SECTION("an ordinary stop") {
    first.process.send(SIGTERM);
    CHECK(first.process.wait() == 0);
    REQUIRE(wait_until([&] { return second.ready(); }));
  }
  SECTION("the first loses its session, and keeps the instance") {
    fleet.psql("select pg_terminate_backend(backend_pid) from singularity.running_agent");
    const auto moved = [&] {
      return fleet.psql(
                 "select count(*) from singularity.running_agent r join pg_stat_activity a on a.pid = r.backend_pid") ==
             "1";
    };
    CHECK(wait_until(moved));
    // Whoever gets it, one has it and the other does not.
    CHECK(wait_until([&] { return first.process.running() && first.ready() != second.ready(); }));
  }
  second.process.send(SIGTERM);
  CHECK(second.process.wait() == 0);
}

TEST_CASE("instance: the claim moves to the agent's next session, and an ordinary stop gives it free at once") {
  daemon_fleet fleet({.name = "instance_free", .agents = 1});
  const auto session = fleet.psql("select backend_pid from singularity.running_agent");
  REQUIRE_FALSE(session.empty());
  fleet.psql("select pg_terminate_backend(" + session + ")");
  const auto moved = [&] {
    return fleet.psql(
               "select count(*) from singularity.running_agent r join pg_stat_activity a on a.pid = r.backend_pid "
               "where r.backend_pid <> " +
               session) == "1";
  };
  CHECK(wait_until(moved));
  fleet.agent(0).process.send(SIGTERM);
  CHECK(fleet.agent(0).process.wait() == 0);
  // Not by its session's end: the claim itself is gone.
  CHECK(fleet.psql("select count(*) from singularity.running_agent") == "0");
}

TEST_CASE("instance: one that was away for longer than its lease finds itself replaced, and ends") {
  daemon_fleet fleet({.name = "instance_taken", .agents = 1});
  auto& first = fleet.agent(0);
  // As another agent does that finds the claim too old; in one transaction, so that no heartbeat comes between.
  CHECK(fleet
            .psql("update singularity.running_agent set renewed_at = now() - interval '1 hour'; select "
                  "singularity.claim_instance('" +
                  first.instance + "', 'other', 'elsewhere', false, 15000)")
            .empty());
  CHECK(first.process.wait() == 1);
  CHECK_THAT(first.process.log(), Catch::Contains("instance_taken") && Catch::Contains("elsewhere"));
}
