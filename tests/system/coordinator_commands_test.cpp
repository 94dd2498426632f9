// The coordinator's command line and API on what a fleet did: what they list, for people and for scripts, and what they
// refuse by name.
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <catch2/catch.hpp>
#include <sstream>

#include "common/http/client.hpp"
#include "tests/support/commands.hpp"
#include "tests/support/results.hpp"

using namespace fleet;
using namespace fleet::test;
namespace json = boost::json;

namespace {

struct command_line {
  const daemon_fleet& fleet;

  command_result operator()(const std::string& what, int code = 0) const {
    auto result = run_coordinator_command(fleet, what);
    INFO(what << ": " << result.all());
    CHECK(result.code == code);
    CHECK(result.err.empty() == (code == 0));
    return result;
  }
  json::array list(const std::string& what) const { return (*this)(what + " --json").json().as_array(); }
  void refused(const std::string& what, int code, const std::string& why) const {
    const auto result = (*this)(what, code);
    CAPTURE(what);
    CHECK_THAT(result.err, Catch::Contains(why));
    CHECK(result.out.empty());
  }
};

/// The words of the table's line that begins with `first`; empty where there is none.
std::vector<std::string> row_of(const std::string& table, const std::string& first) {
  std::istringstream lines(table);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::vector<std::string> row;
    for (std::string word; words >> word;) row.push_back(word);
    if (!row.empty() && row.front() == first) return row;
  }
  return {};
}

json::object with_key(const json::array& list, const std::string& key, const std::string& value) {
  for (const auto& each : list)
    if (each.at(key) == value.c_str()) return each.as_object();
  return {};
}

daemon_answer ask(const daemon_fleet& fleet, const std::string& method, const std::string& target) {
  http::client_request request;
  request.to = http::endpoint::parse(fleet.coordinator_addresses.front()).value();
  request.method = method;
  request.target = target;
  const auto response = http::call_blocking(std::move(request));
  REQUIRE(response);
  daemon_answer answer;
  answer.status = response->status;
  answer.body = json::parse(response->body).as_object();
  return answer;
}

std::string propose(daemon_fleet& fleet, double risk) {
  const auto answer =
      fleet.agent(0).call("POST", "/v1/proposals", proposal_of({{"service.conf", "greeting=hi\n"}}, risk));
  REQUIRE(answer.status == 201);
  return std::string(answer.body.at("proposal_id").as_string());
}

void check_waiting(const command_line& coordinator, const std::string& proposal) {
  const std::string queue = "proposals_for_consensus_queue";
  REQUIRE(wait_until([&] { return with_key(coordinator.list("queues"), "queue_name", queue).at("pending") == 1; }));
  const auto queues = coordinator.list("queues");
  CHECK(queues.size() == 10);
  const auto one = with_key(queues, "queue_name", queue);
  for (const auto* name : {"retrying", "dlq", "consumed_total"}) CHECK(one.at(name) == 0);
  CHECK(one.at("published_total") == 1);
  CHECK(one.at("oldest_age_seconds").to_number<double>() >= 0);
  const auto table = coordinator("queues").out;
  CHECK_THAT(table, Catch::Contains("queue") && Catch::Contains("pending") && Catch::Contains("oldest s") &&
                        Catch::Contains("dead") && Catch::Contains("published"));
  const auto row = row_of(table, queue);
  REQUIRE(row.size() == 8);
  CHECK(row[1] == "1");
  CHECK(row[5] == "1");

  const auto pending = coordinator.list("pending " + queue);
  REQUIRE(pending.size() == 1);
  const auto message = pending[0].as_object();
  CHECK(message.at("state") == "pending");
  CHECK(message.at("attempts") == 0);
  CHECK(message.at("consumer_group") == "centralcloud");
  CHECK(message.at("payload").at("type") == "proposal_for_consensus");
  CHECK(message.at("payload").at("proposal_id") == proposal.c_str());
  CHECK(message.at("payload").at("instance_id") == "agent-0");
  const auto line = row_of(coordinator("pending " + queue).out, json::serialize(message.at("message_id")));
  REQUIRE(line.size() >= 7);
  CHECK(line[1] == "pending");
  CHECK(line.back() == proposal);
  CHECK(coordinator("pending votes_for_consensus_queue").out == "nothing is pending\n");
  CHECK(coordinator.list("pending votes_for_consensus_queue").empty());
  CHECK(coordinator("proposals").out == "no proposals\n");
}

}  // namespace

TEST_CASE("coordinator commands: queues and pending while no coordinator runs, then proposals and instances") {
  daemon_fleet fleet({.name = "commands_central",
                      .agents = 1,
                      .coordinator_settings = {{"consensus.min_votes", "1"}},
                      .start = false});
  const command_line coordinator{fleet};
  CHECK(coordinator("instances").out == "no instance has registered\n");
  CHECK(coordinator.list("instances").empty());
  fleet.agent(0).start();
  fleet.wait_ready();
  const auto good = propose(fleet, 2);
  check_waiting(coordinator, good);
  fleet.coordinators[0]->start();
  // Several workers take proposals: two at once would be received in any order.
  REQUIRE(wait_until([&] { return coordinator.list("proposals").size() == 1; }));
  const auto poor = propose(fleet, 9.5);
  const auto status_of = [&](const std::string& id) {
    return with_key(coordinator.list("proposals"), "proposal_id", id)["status"];
  };
  const bool ended = wait_until([&] { return status_of(good) == "confirmed" && status_of(poor) == "rejected"; },
                                std::chrono::seconds(40));
  INFO(fleet.logs());
  REQUIRE(ended);

  const auto proposals = coordinator.list("proposals");
  REQUIRE(proposals.size() == 2);
  CHECK(proposals[0].at("proposal_id") == poor.c_str());
  const auto one = proposals[1].as_object();
  CHECK(one.at("instance_id") == "agent-0");
  CHECK(one.at("agent_type") == "OptimizationAgent");
  CHECK(one.at("votes") == 1);
  CHECK(one.at("electorate") == 1);
  CHECK(one.at("vote_state") == "approved");
  CHECK(one.at("description") == "a test change");
  const auto row = row_of(coordinator("proposals").out, good);
  REQUIRE(row.size() >= 7);
  CHECK(std::vector<std::string>(row.begin() + 1, row.begin() + 4) ==
        std::vector<std::string>{"agent-0", "OptimizationAgent", "confirmed"});
  const auto confirmed = coordinator.list("proposals --status confirmed");
  REQUIRE(confirmed.size() == 1);
  CHECK(confirmed[0].at("proposal_id") == good.c_str());

  const auto instances = coordinator.list("instances");
  REQUIRE(instances.size() == 1);
  CHECK(instances[0].at("instance_id") == "agent-0");
  CHECK(instances[0].at("fresh") == true);
  CHECK(instances[0].at("roles") == json::array{"proposer", "voter", "executor"});
  CHECK(instances[0].at("waiting") == 0);
  CHECK(instances[0].at("version").is_string());
  const auto instance = row_of(coordinator("instances").out, "agent-0");
  REQUIRE(instance.size() >= 5);
  CHECK(instance[1] == "true");
  fleet.agent(0).process.kill9();
  REQUIRE(wait_until([&] { return coordinator.list("instances")[0].at("fresh") == false; }));
}

TEST_CASE("coordinator commands: what names nothing, or makes no sense, is refused by its name") {
  daemon_fleet fleet({.name = "commands_refused", .agents = 0});
  const command_line coordinator{fleet};
  coordinator.refused("pending nonsense_queue", 1, "nonsense_queue");
  coordinator.refused("pending", 2, "QUEUE");
  coordinator.refused("queues all", 2, "unexpected argument 'all'");
  coordinator.refused("instances --status live", 2, "--status");
  coordinator.refused("proposals --status nonsense", 2, "--status: expected one of voting, ");
  coordinator.refused("proposals --status nonsense", 2, "got nonsense");
  coordinator.refused("proposals --status ''", 2, "--status: ");
  // Every state that the tables allow can be asked for.
  const auto states = fleet.psql(
      "select string_agg(distinct m[1], ' ') from pg_constraint c, regexp_matches(pg_get_constraintdef(c.oid), "
      "'''([a-z_]+)''::text', 'g') m where c.conrelid in ('centralcloud.proposal'::regclass, "
      "'centralcloud.change'::regclass) and pg_get_constraintdef(c.oid) like '%state = ANY%'");
  std::istringstream all(states + " not_begun");
  int count = 0;
  for (std::string state; all >> state; ++count) {
    CAPTURE(state);
    CHECK(coordinator.list("proposals --status " + state).empty());
    CHECK(ask(fleet, "GET", "/v1/proposals?status=" + state).status == 200);
  }
  CHECK(count == 11);
}

TEST_CASE("coordinator api: bad input is a problem that names the field") {
  daemon_fleet fleet({.name = "api_central", .agents = 0});
  const auto refused = [&](const std::string& method, const std::string& target, const std::string& field) {
    const auto answer = ask(fleet, method, target);
    CAPTURE(method, target, json::serialize(answer.body));
    CHECK(answer.status == 400);
    CHECK(answer.body.at("type") == "urn:problem:invalid_input");
    const auto* errors = answer.body.if_contains("errors");
    REQUIRE(errors != nullptr);
    REQUIRE(errors->as_array().size() == 1);
    CHECK(errors->at(0).at("field") == field.c_str());
    CHECK_FALSE(errors->at(0).at("message").as_string().empty());
  };
  for (const auto* id : {"x", "1x", "99999999999999999999"})
    refused("POST", "/v1/dlq/" + std::string(id) + "/retry", "id");
  refused("GET", "/v1/proposals?status=nonsense", "status");
  refused("GET", "/v1/proposals?status=", "status");
  for (const auto* list : {"proposals", "instances", "patterns", "alerts", "safety-profiles", "dlq"})
    refused("GET", "/v1/" + std::string(list) + "?limit=1001", "limit");
  refused("GET", "/v1/queues/votes_for_consensus_queue/messages?limit=x", "limit");
  refused("GET", "/v1/proposals/p?samples_after=x", "samples_after");
  refused("POST", "/v1/proposals/p/rollback", "");  // the body itself
  CHECK(ask(fleet, "POST", "/v1/dlq/7/retry").status == 404);
  CHECK(ask(fleet, "GET", "/v1/proposals?after=nobody").status == 404);
  CHECK(ask(fleet, "GET", "/v1/queues/nonsense/messages").status == 404);
  CHECK(ask(fleet, "GET", "/v1/dlq?queue=nonsense").status == 404);
}

TEST_CASE("coordinator api: a dead letter of an instance that was retired is a conflict, not a defect") {
  daemon_fleet fleet({.name = "api_retired", .agents = 0});
  fleet.psql("select quantumflow.subscribe('rollback_triggers_queue', 'gone')");
  fleet.psql(R"(select quantumflow.publish('rollback_triggers_queue', '{"type": "nonsense"}', 'gone'))");
  fleet.psql(
      "begin; select quantumflow.reject(message_id, 'nonsense') from quantumflow.take('rollback_triggers_queue', "
      "'gone'); commit");
  const auto letter = fleet.psql("select id from quantumflow.list_dlq_messages()");
  REQUIRE_FALSE(letter.empty());
  // As for one that was silent for a week.
  fleet.psql("update quantumflow.cursor set retired_at = now() where consumer_group = 'gone'");
  const auto answer = ask(fleet, "POST", "/v1/dlq/" + letter + "/retry");
  INFO(json::serialize(answer.body));
  CHECK(answer.status == 409);
  CHECK_THAT(std::string(answer.body.at("detail").as_string()), Catch::Contains("retired"));
}
