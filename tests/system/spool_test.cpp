// The database is away: the agents go on taking things in, and nothing of it is lost, whoever is killed meanwhile.
#include <catch2/catch.hpp>

#include "tests/support/daemons.hpp"
#include "tests/support/private_postgres.hpp"

using namespace fleet;
using namespace fleet::test;

namespace {

daemon_answer propose(agent_process& agent, const std::string& id, const std::string& content) {
  auto proposal = proposal_of({{"service.conf", content}});
  proposal["proposal_id"] = id;
  return agent.call("POST", "/v1/proposals", proposal);
}

bool answers(const agent_process& agent) {
  try {
    return agent.raw_call("GET", "/healthz", "").status == 200;
  } catch (const std::exception&) {
    return false;
  }
}

std::string metric_of(const agent_process& agent, const std::string& name) {
  return shell("curl -s --unix-socket " + agent.socket + " http://agent/metrics | grep '^" + name +
               " ' | cut -d' ' -f2");
}

}  // namespace

TEST_CASE(
    "spool: proposals handed in while the database is away are applied when it is back, although the agent was "
    "killed") {
  daemon_fleet fleet({.name = "spool"});
  auto& agent = fleet.agent(0);
  database_outage outage;
  const auto first = propose(agent, "first", "greeting=one\n");
  CHECK(first.status == 202);
  CHECK(first.body.at("spooled") == true);
  agent.process.kill9();
  agent.process.start();
  REQUIRE(wait_until([&] { return answers(agent); }));
  CHECK(propose(agent, "second", "greeting=two\n").status == 202);
  CHECK(propose(agent, "second", "greeting=two\n").status == 202);  // handed in twice: still one proposal
  boost::json::object wrong;
  wrong["agent_type"] = "BugFixerAgent";
  CHECK(agent.call("POST", "/v1/proposals", wrong).status == 400);
  CHECK(metric_of(agent, "singularity_spool_entries") == "3");

  outage.end();
  const bool applied =
      wait_until([&] { return agent.status_of("first") == "applied" && agent.status_of("second") == "applied"; },
                 std::chrono::seconds(60));
  INFO(fleet.logs());
  REQUIRE(applied);
  CHECK(agent.git("log --format=%s --grep Proposal-Id | wc -l") == "2");
  CHECK(metric_of(agent, "singularity_spool_entries") == "0");
  CHECK(fleet.psql("select count(*) from centralcloud.decision") == "2");
  // From now on it goes directly again.
  CHECK(propose(agent, "third", "greeting=three\n").status == 201);
}

TEST_CASE("spool: what finds no room is refused with a time to come back; what was accepted is there afterwards") {
  daemon_fleet fleet({.name = "spool_full",
                      .agents = 1,
                      .agent_settings = {{"spool.max_mb", "1"}},
                      .coordinator_settings = {{"consensus.min_votes", "1"}}});
  auto& agent = fleet.agent(0);
  std::vector<std::string> accepted;
  {
    database_outage outage;
    daemon_answer answer;
    for (int i = 0; i < 10 && answer.status != 503; ++i) {
      const auto id = "p" + std::to_string(i);
      answer = propose(agent, id, "greeting=" + id + "\n# " + std::string(300'000, 'x') + "\n");
      if (answer.status == 202) accepted.push_back(id);
    }
    CHECK(answer.status == 503);
    CHECK(accepted.size() >= 2);
    http::client_request again;
    again.to.unix_socket = agent.socket;
    again.method = "POST";
    again.target = "/v1/proposals";
    auto late = proposal_of({{"service.conf", "greeting=late\n# " + std::string(300'000, 'y') + "\n"}});
    late["proposal_id"] = "late";
    again.body = boost::json::serialize(late);
    const auto refused = http::call_blocking(std::move(again));
    REQUIRE(refused.has_value());
    CHECK(refused->status == 503);
    CHECK(refused->headers.at("retry-after") == "1");
    CHECK(metric_of(agent, "singularity_spool_entries") == std::to_string(accepted.size()));
    outage.end();
  }
  for (const auto& id : accepted)
    CHECK(wait_until([&] { return agent.status_of(id) == "applied"; }, std::chrono::seconds(60)));
  CHECK(agent.status_of("late").empty());
}
