// Bad input gets its answer, is counted, and loses nothing.
#include <boost/json/serialize.hpp>
#include <catch2/catch.hpp>
#include <fstream>

#include "tests/support/daemons.hpp"

using namespace fleet::test;

namespace {

std::string fields_of(const daemon_answer& answer) {
  const auto* errors = answer.body.if_contains("errors");
  return errors == nullptr ? std::string() : boost::json::serialize(*errors);
}

}  // namespace

TEST_CASE("bad input: a malformed proposal on the socket gets 400 and the field's name") {
  daemon_fleet fleet({.name = "bad_proposal", .agents = 1});
  auto& agent = fleet.agent(0);

  auto wrong = proposal_of({{"service.conf", "x\n"}});
  wrong["risk_score"] = 11;
  auto answer = agent.call("POST", "/v1/proposals", wrong);
  CHECK(answer.status == 400);
  CHECK_THAT(fields_of(answer), Catch::Contains("risk_score"));
  CHECK(answer.body.contains("title"));
  CHECK(answer.body.contains("detail"));

  auto without = proposal_of({{"service.conf", "x\n"}});
  without.erase("code_change");
  without.erase("safety_profile");
  answer = agent.call("POST", "/v1/proposals", without);
  CHECK(answer.status == 400);
  CHECK_THAT(fields_of(answer), Catch::Contains("code_change") && Catch::Contains("safety_profile"));

  CHECK(agent.raw_call("POST", "/v1/proposals", "{\"agent_type\": ").status == 400);
  CHECK(agent.raw_call("POST", "/v1/proposals", R"({"agent_type": "a", "agent_type": "b"})").status == 400);
  CHECK(agent.raw_call("POST", "/v1/proposals", "[]").status == 400);
  CHECK(agent.call("GET", "/v1/proposals/unknown").status == 404);
  CHECK(agent.call("DELETE", "/v1/proposals").status == 405);
  CHECK(fleet.psql("select count(*) from singularity.proposal") == "0");
  CHECK(agent.ready());
}

TEST_CASE("bad input: the same id with other content is a conflict, with the same content it is the same answer") {
  daemon_fleet fleet({.name = "bad_twice", .agents = 1});
  auto& agent = fleet.agent(0);
  auto proposal = proposal_of({{"service.conf", "x\n"}});
  proposal["proposal_id"] = "chosen-by-me";
  CHECK(agent.call("POST", "/v1/proposals", proposal).status == 201);
  CHECK(agent.call("POST", "/v1/proposals", proposal).status < 300);
  proposal["risk_score"] = 3;
  CHECK(agent.call("POST", "/v1/proposals", proposal).status == 409);
  CHECK(fleet.psql("select count(*) from singularity.proposal") == "1");
}

TEST_CASE("bad input: malformed messages go to the dead-letter queue with the reason, others are handled") {
  daemon_fleet fleet({.name = "bad_messages"});
  fleet.psql(R"(select quantumflow.publish('votes_for_consensus_queue', '{"type": "vote", "proposal_id": "p"}'))");
  fleet.psql(R"(select quantumflow.publish('proposals_for_consensus_queue', '{"type": "nonsense"}'))");
  fleet.psql(R"(select quantumflow.publish('rollback_triggers_queue', '{"type": "rollback_trigger"}', 'agent-0'))");
  fleet.psql(
      R"(select quantumflow.publish('metrics_to_guardian_queue', '{"schema_version": 99, "type": "execution_metrics"}'))");
  const bool dead =
      wait_until([&] { return fleet.psql("select count(*) from quantumflow.list_dlq_messages()") == "4"; });
  INFO(fleet.logs());
  REQUIRE(dead);
  CHECK_THAT(fleet.psql("select error from quantumflow.list_dlq_messages('votes_for_consensus_queue')"),
             Catch::Contains("confidence") && Catch::Contains("vote"));
  CHECK_THAT(fleet.psql("select error from quantumflow.list_dlq_messages('metrics_to_guardian_queue')"),
             Catch::Contains("schema_version"));
  CHECK_THAT(fleet.agent(0).process.log(), Catch::Contains("message_rejected"));
  CHECK_THAT(fleet.coordinators[0]->log(), Catch::Contains("message_rejected"));
  CHECK(fleet.psql("select bool_and(reason = 'rejected' and attempts = 1) from quantumflow.list_dlq_messages()") ==
        "t");
  const auto answer = fleet.agent(0).call("POST", "/v1/proposals", proposal_of({{"service.conf", "greeting=fine\n"}}));
  REQUIRE(answer.status == 201);
  const std::string id(answer.body.at("proposal_id").as_string());
  CHECK(wait_until([&] { return fleet.agent(0).status_of(id) == "applied"; }));
}

TEST_CASE("bad input: an unknown configuration key or a schema that does not fit stops the daemon with exit 2") {
  daemon_fleet fleet({.name = "bad_config", .agents = 1, .start = false});
  {
    std::ofstream out(fleet.agent(0).directory + "/agent.ini", std::ios::app);
    out << "[voter]\nmood = grumpy\n";
  }
  fleet.agent(0).process.start();
  CHECK(fleet.agent(0).process.wait() == 2);
  CHECK_THAT(fleet.agent(0).process.log(), Catch::Contains("voter.mood"));

  fleet.psql(
      "delete from quantumflow.schema_migration where version = (select max(version) from "
      "quantumflow.schema_migration)");
  fleet.coordinators[0]->start();
  CHECK(fleet.coordinators[0]->wait() == 2);
  CHECK_THAT(fleet.coordinators[0]->log(), Catch::Contains("migrate"));
}
