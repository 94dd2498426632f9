// The main job with real daemons: proposed, voted, applied, watched, confirmed or taken back.
#include <signal.h>

#include <boost/json/serialize.hpp>
#include <catch2/catch.hpp>

#include "tests/support/daemons.hpp"

using namespace fleet::test;

namespace {

constexpr auto good_metrics = R"({"success_rate": 0.995, "error_rate": 0.005, "latency_p95_ms": 100})";
constexpr auto bad_metrics = R"({"success_rate": 0.70, "error_rate": 0.30, "latency_p95_ms": 150})";

/// Submits and returns the proposal's id.
std::string propose(agent_process& agent, const boost::json::object& proposal) {
  const auto answer = agent.call("POST", "/v1/proposals", proposal);
  INFO(boost::json::serialize(answer.body));
  REQUIRE(answer.status == 201);
  return std::string(answer.body.at("proposal_id").as_string());
}

bool reaches(agent_process& agent, const std::string& proposal, const std::string& status) {
  return wait_until([&] { return agent.status_of(proposal) == status; });
}

std::string commits_of(agent_process& agent, const std::string& proposal) {
  return agent.git("log --format='%(trailers:key=Proposal-Id,valueonly,separator=%x2C)' | grep -cx '" + proposal +
                   "' || true");
}

}  // namespace

TEST_CASE("loop: a good change is voted on, applied once, watched and confirmed") {
  daemon_fleet fleet({.name = "loop_good"});
  auto& agent = fleet.agent(0);
  const auto id = propose(agent, proposal_of({{"service.conf", "greeting=hi\n"}, {"metrics.json", good_metrics}}));
  const bool applied = reaches(agent, id, "applied");
  INFO(fleet.logs());
  REQUIRE(applied);
  CHECK(agent.file("service.conf") == "greeting=hi\n");
  // Each daemon is who it says: its role, and no other, has sessions.
  CHECK(fleet.psql("select string_agg(distinct usename, ',' order by usename) from pg_stat_activity"
                   " where datname = current_database() and pid <> pg_backend_pid()") ==
        "coordinator,loop_good_agent-0,loop_good_agent-1,loop_good_agent-2");
  CHECK(commits_of(agent, id) == "1");
  CHECK(agent.git("status --porcelain") == "");
  REQUIRE(wait_until([&] {
    return fleet.psql("select state from centralcloud.change where proposal_id = '" + id + "'") == "confirmed";
  }));
  CHECK(fleet.psql("select status, rule from centralcloud.decision where proposal_id = '" + id + "'") ==
        "approved|consensus");
  CHECK(fleet.psql("select count(*), count(distinct instance_id) from centralcloud.vote where proposal_id = '" + id +
                   "'") == "3|3");
  CHECK(agent.status_of(id) == "applied");
  CHECK(fleet.agent(1).file("service.conf") == "greeting=hello\n");
  CHECK(fleet.psql("select sum(pending), sum(retrying), sum(dlq) from quantumflow.list_queues() where queue_name <> "
                   "'learning_loop_completed_queue'") == "0|0|0");
}

TEST_CASE("loop: a harmful change is rolled back by itself, and the content is as before") {
  daemon_fleet fleet({.name = "loop_harmful"});
  auto& agent = fleet.agent(1);
  const auto before = agent.git("rev-parse HEAD");
  const auto id = propose(agent, proposal_of({{"service.conf", "greeting=hurt\n"}, {"metrics.json", bad_metrics}}));
  const bool rolled_back = reaches(agent, id, "rolled_back");
  INFO(fleet.logs());
  REQUIRE(rolled_back);
  CHECK(agent.git("diff --stat " + before + " HEAD") == "");
  CHECK(agent.git("status --porcelain") == "");
  CHECK(commits_of(agent, id) == "1");
  CHECK(fleet.psql("select count(*), min(reason) from centralcloud.rollback where proposal_id = '" + id + "'") ==
        "1|success_rate_breach");
  REQUIRE(wait_until([&] {
    return fleet.psql("select state from centralcloud.change where proposal_id = '" + id + "'") == "rolled_back";
  }));
}

TEST_CASE("loop: a poor change is voted down and touches nothing") {
  daemon_fleet fleet({.name = "loop_poor"});
  auto& agent = fleet.agent(2);
  const auto before = agent.git("rev-parse HEAD");
  const auto id = propose(agent, proposal_of({{"service.conf", "greeting=risky\n"}}, 9.5, 2));
  const bool failed = reaches(agent, id, "consensus_failed");
  INFO(fleet.logs());
  REQUIRE(failed);
  CHECK(agent.git("rev-parse HEAD") == before);
  CHECK(fleet.psql("select status, rule from centralcloud.decision where proposal_id = '" + id + "'") ==
        "rejected|strong_rejection");
}

TEST_CASE("loop: a change whose verification fails is undone") {
  daemon_fleet fleet({.name = "loop_unverified"});
  auto& agent = fleet.agent(0);
  const auto before = agent.git("rev-parse HEAD");
  const auto id = propose(agent, proposal_of({{"service.conf", ""}}));
  const bool failed = reaches(agent, id, "failed");
  INFO(fleet.logs());
  REQUIRE(failed);
  CHECK(agent.git("diff --stat " + before + " HEAD") == "");
  CHECK(agent.file("service.conf") == "greeting=hello\n");
}

TEST_CASE("loop: one instance proposes, the other votes") {
  daemon_fleet fleet({.name = "loop_two", .agents = 2, .coordinator_settings = {{"consensus.min_votes", "2"}}});
  const auto id = propose(fleet.agent(0), proposal_of({{"service.conf", "greeting=two\n"}}));
  const bool applied = reaches(fleet.agent(0), id, "applied");
  INFO(fleet.logs());
  REQUIRE(applied);
  CHECK(fleet.psql(
            "select string_agg(instance_id, ',' order by instance_id) from centralcloud.vote where proposal_id = '" +
            id + "'") == "agent-0,agent-1");
}

TEST_CASE("loop: three propose at once, each is decided and applied once") {
  daemon_fleet fleet({.name = "loop_three"});
  std::vector<std::string> ids;
  for (std::size_t i = 0; i < 3; ++i) {
    for (int k = 0; k < 3; ++k) {
      const auto file = "file-" + std::to_string(k) + ".txt";
      ids.push_back(propose(fleet.agent(i), proposal_of({{file, "by agent " + std::to_string(i) + "\n"}})));
    }
  }
  for (std::size_t n = 0; n < ids.size(); ++n) {
    auto& agent = fleet.agent(n / 3);
    const bool applied = reaches(agent, ids[n], "applied");
    INFO(fleet.logs());
    REQUIRE(applied);
    CHECK(commits_of(agent, ids[n]) == "1");
  }
  CHECK(fleet.psql("select count(*), count(distinct proposal_id) from centralcloud.decision") == "9|9");
  CHECK(fleet.psql("select count(*) from quantumflow.list_dlq_messages()") == "0");
  // A stop right after work ends cleanly, whatever is still under way.
  for (auto& each : fleet.agents) each->process.send(SIGTERM);
  fleet.coordinators[0]->send(SIGTERM);
  for (auto& each : fleet.agents) CHECK(each->process.wait() == 0);
  CHECK(fleet.coordinators[0]->wait() == 0);
}

TEST_CASE("loop: a daemon asked to stop ends with exit 0 within its grace") {
  daemon_fleet fleet({.name = "loop_stop", .agents = 1});
  fleet.agent(0).process.send(SIGTERM);
  fleet.coordinators[0]->send(SIGTERM);
  CHECK(fleet.agent(0).process.wait() == 0);
  CHECK(fleet.coordinators[0]->wait() == 0);
}
