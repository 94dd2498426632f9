// One side away while the other works: nothing is lost, and work goes on when it is back.
#include <signal.h>

#include <boost/json/serialize.hpp>
#include <catch2/catch.hpp>

#include "tests/support/daemons.hpp"

using namespace fleet::test;

namespace {

std::string propose(agent_process& agent, const boost::json::object& proposal) {
  const auto answer = agent.call("POST", "/v1/proposals", proposal);
  REQUIRE(answer.status == 201);
  return std::string(answer.body.at("proposal_id").as_string());
}

daemon_answer vote(agent_process& agent, const std::string& proposal) {
  boost::json::object body;
  body["proposal_id"] = proposal;
  body["vote"] = "approve";
  body["confidence"] = 0.95;
  body["reason"] = "looked at it";
  return agent.call("POST", "/v1/votes", body);
}

}  // namespace

TEST_CASE("outage: the coordinator is killed during a vote, votes wait for it, and it decides once") {
  daemon_fleet fleet({.name = "outage_coordinator", .agent_settings = {{"voter.mode", "manual"}}});
  const auto id = propose(fleet.agent(0), proposal_of({{"service.conf", "greeting=patient\n"}}));
  const auto asked = [&](std::size_t i) {
    const auto list = fleet.agent(i).raw_call("GET", "/v1/votes", "");
    return boost::json::serialize(list.body).find(id) != std::string::npos;
  };
  for (std::size_t i = 0; i < 3; ++i) {
    const bool waiting = wait_until([&] { return asked(i); });
    INFO(fleet.logs());
    REQUIRE(waiting);
  }
  REQUIRE(vote(fleet.agent(0), id).status == 202);
  fleet.coordinators[0]->kill9();
  REQUIRE(vote(fleet.agent(1), id).status == 202);
  REQUIRE(vote(fleet.agent(2), id).status == 202);
  CHECK(fleet.psql("select count(*) from centralcloud.decision") == "0");

  fleet.coordinators[0]->start();
  const bool applied = wait_until([&] { return fleet.agent(0).status_of(id) == "applied"; });
  INFO(fleet.logs());
  REQUIRE(applied);
  CHECK(fleet.psql("select count(*), min(rule) from centralcloud.decision") == "1|consensus");
  CHECK(fleet.psql("select count(*) from centralcloud.vote where counted") == "3");
}

TEST_CASE("outage: an agent is away when its result comes; it waits, and is carried out once it is back") {
  daemon_fleet fleet({.name = "outage_agent", .agent_settings = {{"voter.mode", "manual"}}});
  const auto id = propose(fleet.agent(0), proposal_of({{"service.conf", "greeting=later\n"}}));
  for (std::size_t i = 0; i < 3; ++i) {
    const bool voted = wait_until([&] { return vote(fleet.agent(i), id).status == 202; });
    INFO(fleet.logs());
    REQUIRE(voted);
    if (i == 0) fleet.agent(0).process.kill9();
  }
  const auto result_waits = [&] {
    return fleet.psql("select count(*) from quantumflow.list_pending_messages('consensus_results_queue')") == "1";
  };
  const bool waits = wait_until(result_waits);
  INFO(fleet.logs());
  REQUIRE(waits);
  CHECK(fleet.agent(0).file("service.conf") == "greeting=hello\n");

  fleet.agent(0).start();
  const bool applied = wait_until([&] { return fleet.agent(0).ready() && fleet.agent(0).status_of(id) == "applied"; });
  INFO(fleet.logs());
  REQUIRE(applied);
  CHECK(fleet.agent(0).file("service.conf") == "greeting=later\n");
  CHECK_FALSE(result_waits());
}

TEST_CASE("outage: an agent killed while it applies a change finds out what it did, and does it once") {
  daemon_fleet fleet(
      {.name = "outage_apply", .agent_settings = {{"executor.verify_command", "sleep 1; test -s service.conf"}}});
  auto& agent = fleet.agent(0);
  const auto id = propose(agent, proposal_of({{"service.conf", "greeting=once\n"}}));
  const bool written = wait_until([&] { return agent.file("service.conf") == "greeting=once\n"; });
  INFO(fleet.logs());
  REQUIRE(written);
  agent.process.kill9();
  agent.start();
  const bool applied = wait_until([&] { return agent.ready() && agent.status_of(id) == "applied"; });
  INFO(agent.process.log());
  REQUIRE(applied);
  CHECK(agent.git("log --format='%(trailers:key=Proposal-Id,valueonly,separator=%x2C)' | grep -cx " + id) == "1");
}

TEST_CASE("outage: two coordinators, one killed, decide each proposal once") {
  daemon_fleet fleet({.name = "outage_two", .coordinators = 2});
  std::vector<std::string> ids;
  for (int i = 0; i < 20; ++i) {
    if (i == 10) fleet.coordinators[0]->kill9();
    ids.push_back(propose(fleet.agent(static_cast<std::size_t>(i % 3)),
                          proposal_of({{"file-" + std::to_string(i) + ".txt", "x\n"}})));
  }
  for (std::size_t n = 0; n < ids.size(); ++n) {
    const bool applied =
        wait_until([&] { return fleet.agent(n % 3).status_of(ids[n]) == "applied"; }, std::chrono::seconds(40));
    INFO(fleet.logs());
    REQUIRE(applied);
  }
  CHECK(fleet.psql("select count(*), count(distinct proposal_id) from centralcloud.decision") == "20|20");
  CHECK(fleet.psql("select count(*) from quantumflow.list_dlq_messages()") == "0");
}
