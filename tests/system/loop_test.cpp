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

TEST_CASE("loop: an operator has changes taken back by command; one that cannot be alerts until a person clears it") {
  daemon_fleet fleet({.name = "loop_by_command", .coordinator_settings = {{"metrics.sample_interval_ms", "100"}}});
  auto& agent = fleet.agent(0);
  const auto command = [&](const std::string& what) {
    return shell("'" + daemon_binary("centralcloud_daemon") + "' " + what + " --database.url '" + fleet.database_url +
                 "' 2>&1 || true");
  };
  const auto watched = [&](const std::string& greeting) {
    auto proposal = proposal_of({{"service.conf", "greeting=" + greeting + "\n"}, {"metrics.json", good_metrics}});
    proposal["safety_profile"].as_object()["observation_window_seconds"] = 600;
    const auto id = propose(agent, proposal);
    const bool applied = reaches(agent, id, "applied");
    INFO(fleet.logs());
    REQUIRE(applied);
    return id;
  };
  const auto wanted_back = watched("hi");
  CHECK_THAT(command("rollback " + wanted_back), Catch::Contains("--reason TEXT is needed"));
  CHECK_THAT(command("rollback " + wanted_back + " --reason 'not now'"), Catch::Contains("is triggered"));
  REQUIRE(reaches(agent, wanted_back, "rolled_back"));
  CHECK(agent.file("service.conf") == "greeting=hello\n");
  CHECK_THAT(command("rollback " + wanted_back + " --reason again"), Catch::Contains("nothing to take back"));

  const auto built_on = watched("hey");
  shell("cd '" + agent.repository +
        "' && echo 'greeting=hey, you' > service.conf && git -c user.name=x -c user.email=x@x "
        "commit -qam 'built on it'");
  CHECK_THAT(command("rollback " + built_on + " --reason 'not now'"), Catch::Contains("is triggered"));
  const bool failed = reaches(agent, built_on, "rollback_failed");
  INFO(fleet.logs());
  REQUIRE(failed);
  CHECK(agent.file("service.conf") == "greeting=hey, you\n");
  const auto standing = [&] { return boost::json::parse(command("alerts --active --json")).as_array(); };
  REQUIRE(wait_until([&] { return standing().size() == 1; }));
  const auto alert = standing()[0].as_object();
  CHECK(alert.at("name") == "rollback_failed");
  CHECK(alert.at("subject") == built_on.c_str());
  REQUIRE(wait_until([&] {
    return shell("curl -fsS http://" + fleet.coordinator_addresses[0] + "/metrics")
               .find("centralcloud_alerts_active{alert=\"rollback_failed\",severity=\"critical\"} 1") !=
           std::string::npos;
  }));
  command("alerts clear " + std::to_string(alert.at("alert_id").as_int64()));
  CHECK(standing().empty());
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
