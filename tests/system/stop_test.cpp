// Being asked to stop in the middle of something.
#include <signal.h>

#include <catch2/catch.hpp>

#include "tests/support/daemons.hpp"
#include "tests/support/run.hpp"

using namespace fleet::test;
using namespace std::chrono_literals;

TEST_CASE(
    "stop: the first SIGTERM waits for what is under way within the grace time, the second does not; nothing is done "
    "twice") {
  // The command that is under way waits until a file is there.
  daemon_fleet fleet({.name = "stop_twice",
                      .agents = 1,
                      .agent_settings = {{"executor.verify_command",
                                          "for i in $(seq 600); do test -e go && exit 0; sleep 0.1; done; false"},
                                         {"stop.grace_ms", "60000"}},
                      .coordinator_settings = {{"consensus.min_votes", "1"}}});
  auto& agent = fleet.agent(0);
  const auto answer = agent.call("POST", "/v1/proposals", proposal_of({{"service.conf", "greeting=stop\n"}}));
  REQUIRE(answer.status == 201);
  const std::string id(answer.body.at("proposal_id").as_string());
  REQUIRE(wait_until([&] { return agent.file("service.conf") == "greeting=stop\n"; }));
  agent.process.send(SIGTERM);
  REQUIRE(wait_until([&] { return agent.process.log().find("stopping: ") != std::string::npos; }));
  SECTION("once: it is finished first") {
    shell("touch '" + agent.repository + "/go'");
    CHECK(agent.process.wait() == 0);
    CHECK(agent.process.log().find("stopping_now") == std::string::npos);
  }
  SECTION("twice: it ends at once, with a failure") {
    const auto second = std::chrono::steady_clock::now();
    agent.process.send(SIGTERM);
    CHECK(agent.process.wait(10s) == 1);
    CHECK(std::chrono::steady_clock::now() - second < 5s * patience());
    shell("touch '" + agent.repository + "/go'");
  }
  agent.start();
  const bool applied = wait_until([&] { return agent.ready() && agent.status_of(id) == "applied"; });
  INFO(agent.process.log());
  REQUIRE(applied);
  CHECK(agent.git("log --format='%(trailers:key=Proposal-Id,valueonly)' | grep -cx " + id) == "1");
  CHECK(fleet.lines_of("message_failed") == "");  // no message was charged an attempt
}
