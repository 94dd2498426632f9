// The agent's command line with agents that run: what it prints for people and for scripts, and how it refuses.
#include <boost/json/serialize.hpp>
#include <catch2/catch.hpp>
#include <fstream>

#include "tests/support/commands.hpp"

using namespace fleet::test;
namespace json = boost::json;

namespace {

/// Runs one command of an agent, which must end with this code.
struct command_line {
  const agent_process& agent;

  command_result operator()(const std::string& what, int code = 0, const std::string& input = {}) const {
    auto result = run_agent_command(agent, what, input);
    INFO(what << ": " << result.all());
    CHECK(result.code == code);
    CHECK(result.err.empty() == (code == 0));
    return result;
  }
  /// It says why on the error stream, and prints nothing.
  void refused(const std::string& what, int code, const std::string& why, const std::string& input = {}) const {
    const auto result = (*this)(what, code, input);
    CAPTURE(what);
    CHECK_THAT(result.err, Catch::Contains(why));
    CHECK(result.out.empty());
  }
};

std::string propose(const agent_process& agent, json::object proposal) {
  proposal["safety_profile"].as_object()["observation_window_seconds"] = 600;
  const auto answer = agent.call("POST", "/v1/proposals", proposal);
  INFO(json::serialize(answer.body));
  REQUIRE(answer.status == 201);
  return std::string(answer.body.at("proposal_id").as_string());
}

std::string apply(daemon_fleet& fleet, const std::string& greeting) {
  const auto id = propose(fleet.agent(0), proposal_of({{"service.conf", "greeting=" + greeting + "\n"}}));
  const bool applied = wait_until([&] { return fleet.agent(0).status_of(id) == "applied"; });
  INFO(fleet.logs());
  REQUIRE(applied);
  return id;
}

json::object report(double success_rate) {
  json::object code;
  code["before"] = "for each in all: send(each)";
  code["after"] = "send_all(all)";
  code["description"] = "one call for all of them";
  json::object pattern;
  pattern["pattern_type"] = "batching";
  pattern["code_pattern"] = std::move(code);
  pattern["success_rate"] = success_rate;
  pattern["agent_type"] = "OptimizationAgent";
  pattern["usage_count"] = 4;
  return pattern;
}

}  // namespace

TEST_CASE("agent commands: votes shows what waits for a person, vote casts it once, and says what is wrong with it") {
  daemon_fleet fleet({.name = "commands_vote",
                      .agents = 2,
                      .agent_settings = {{"voter.mode", "manual"}},
                      .coordinator_settings = {{"consensus.min_votes", "2"}}});
  const command_line first{fleet.agent(0)};
  const command_line second{fleet.agent(1)};
  CHECK(second("votes").out == "none\n");
  CHECK(second("votes --json").json() == json::array());
  const auto id = propose(fleet.agent(0), proposal_of({{"service.conf", "greeting=hi\n"}}));
  for (const auto& each : {first, second})
    REQUIRE(wait_until([&] { return run_agent_command(each.agent, "votes --json").json().as_array().size() == 1; }));

  const auto waiting = second("votes --json").json().at(0).as_object();
  CHECK(waiting.at("proposal_id") == id.c_str());
  CHECK(waiting.at("instance_id") == "agent-0");
  CHECK(waiting.at("agent_type") == "OptimizationAgent");
  CHECK(waiting.at("impact_score") == 8);
  CHECK(waiting.at("risk_score") == 2);
  CHECK(waiting.at("code_change").at("files").at("service.conf") == "greeting=hi\n");
  CHECK(waiting.contains("deadline"));
  const auto table = second("votes").out;
  CHECK_THAT(table, Catch::StartsWith("proposal") && Catch::Contains("proposed by") && Catch::Contains("deadline"));
  CHECK_THAT(table, Catch::Contains(id) && Catch::Contains("agent-0") && Catch::Contains("a test change"));

  const auto with = "vote " + id + " approve ";
  second.refused("vote " + id, 2, "PROPOSAL approve|reject");
  second.refused("vote " + id + " maybe --confidence 0.9 --reason r", 2, "approve or reject");
  second.refused(with + "--reason r", 2, "--confidence");
  second.refused(with + "--confidence 0.9", 2, "--reason");
  for (const auto* wrong : {"high", "1.01", "-0.1"})
    second.refused(with + "--reason r --confidence=" + wrong, 2, "--confidence: expected a number from 0 to 1");
  second.refused(with + "--confidence 0.9 --reasons r", 2, "did you mean --reason?");
  second.refused("vote nobody approve --confidence 0.9 --reason r", 1, "'nobody'");
  CHECK(fleet.psql("select count(*) from centralcloud.vote") == "0");

  CHECK(second(with + "--confidence 0.9 --reason 'looked at it'").out == "voted\n");
  CHECK(second(with + "--confidence 0.9 --reason 'looked at it' --json").json() ==
        json::object{{"proposal_id", id}, {"vote", "approve"}});
  second.refused("vote " + id + " reject --confidence 0.9 --reason 'on second thoughts'", 1, "voted");
  CHECK(second("votes").out == "none\n");
  CHECK(first(with + "--confidence 1 --reason mine --json").json().at("vote") == "approve");
  const bool applied = wait_until([&] { return fleet.agent(0).status_of(id) == "applied"; });
  INFO(fleet.logs());
  REQUIRE(applied);
  CHECK(
      fleet.psql(
          "select string_agg(concat_ws(' ', instance_id, vote, confidence::float8, reason), ', ' order by instance_id)"
          " from centralcloud.vote where counted") == "agent-0 approve 1 mine, agent-1 approve 0.9 looked at it");
  second.refused("vote " + id + " approve --confidence 0.9 --reason r extra", 2, "unexpected argument 'extra'");
}

TEST_CASE("agent commands: report-metrics adds a sample to a change that is watched, and to no other") {
  daemon_fleet fleet({.name = "commands_report", .agents = 1, .coordinator_settings = {{"consensus.min_votes", "1"}}});
  const command_line agent{fleet.agent(0)};
  const auto id = apply(fleet, "hi");
  const auto file = fleet.directory + "/figures.json";
  std::ofstream(file) << R"({"queue_depth": 4, "error_rate": 0.02, "memory": null})";
  CHECK(agent("report-metrics " + id + " '" + file + "'").out == "reported\n");
  CHECK(agent("report-metrics " + id + " - --json", 0, R"({"queue_depth": 5})").json() ==
        json::object{{"proposal_id", id}, {"accepted", 1}});

  std::vector<std::string> told;
  const auto story = agent("proposal " + id + " --json").json();
  for (const auto& sample : story.at("samples").as_array())
    if (sample.at("source") == "caller") told.push_back(json::serialize(sample.at("metrics_after").at("queue_depth")));
  CHECK(told == std::vector<std::string>{"4", "5"});
  const bool arrived = wait_until([&] {
    return fleet.psql(
               "select count(*) from centralcloud.sample where (metrics_after ->> 'queue_depth')::int in (4, 5)") ==
           "2";
  });
  INFO(fleet.logs());
  CHECK(arrived);

  agent.refused("report-metrics " + id + " /nowhere.json", 2, "/nowhere.json: cannot be read");
  agent.refused("report-metrics " + id + " -", 2, "standard input: not valid JSON", "{\"queue_depth\": ");
  agent.refused("report-metrics " + id + " -", 2, "standard input: expected a JSON object", "[4]");
  agent.refused("report-metrics " + id, 2, "PROPOSAL FILE|-");
  agent.refused("report-metrics " + id + " -", 1, "error_rate: ", R"({"error_rate": 2})");
  agent.refused("report-metrics nobody -", 1, "there is no proposal 'nobody' here", R"({"queue_depth": 6})");
  REQUIRE(agent.agent.call("POST", "/v1/proposals", proposal_of({{"service.conf", ""}})).status == 201);
  const auto failed = [&] { return agent("proposals --json --status failed").json().as_array(); };
  REQUIRE(wait_until([&] { return failed().size() == 1; }));
  const std::string over(failed()[0].at("proposal_id").as_string());
  agent.refused("report-metrics " + over + " -", 1, "is failed: no metrics of it are expected",
                R"({"queue_depth": 6})");
}

TEST_CASE("agent commands: a pattern that three instances report is suggested to all, and shown by the coordinator") {
  daemon_fleet fleet({.name = "commands_pattern"});
  const command_line agent{fleet.agent(2)};
  const auto code = fleet.directory + "/code.txt";
  std::ofstream(code) << "for each in all:\n    send( each )\n";
  const auto suggest = "suggest batching '" + code + "'";
  CHECK(agent(suggest).out == "no pattern fits\n");
  CHECK(agent(suggest + " --json").json() == json::array());
  CHECK(run_coordinator_command(fleet, "patterns").out == "no patterns\n");
  CHECK(run_coordinator_command(fleet, "patterns --json").json() == json::array());

  const auto file = fleet.directory + "/pattern.json";
  std::ofstream(file) << json::serialize(report(0.99));
  CHECK(command_line{fleet.agent(0)}("pattern '" + file + "'").out == "reported\n");
  CHECK(command_line{fleet.agent(1)}("pattern - --json", 0, json::serialize(report(0.97)))
            .json()
            .at("message_id")
            .is_int64());
  const auto listed = [&] { return run_coordinator_command(fleet, "patterns --json").json().as_array(); };
  REQUIRE(wait_until([&] { return !listed().empty() && listed()[0].at("instances") == 2; }));
  CHECK(listed()[0].at("state") == "observed");
  agent("pattern '" + file + "'");
  const auto suggested = [&] { return run_agent_command(agent.agent, suggest + " --json").json().as_array(); };
  const bool found = wait_until([&] { return suggested().size() == 1; });
  INFO(fleet.logs());
  REQUIRE(found);

  const auto one = suggested()[0].as_object();
  CHECK(one.at("pattern_type") == "batching");
  CHECK(one.at("similarity") == 1);
  CHECK(one.at("usage_count") == 12);
  CHECK(one.at("code_pattern") == report(0).at("code_pattern"));
  CHECK(one.at("source_instances") == json::array{"agent-0", "agent-1", "agent-2"});
  const auto table = agent(suggest).out;
  CHECK_THAT(table,
             Catch::StartsWith("pattern") && Catch::Contains("similarity") && Catch::Contains("one call for all"));
  CHECK(agent("suggest batching -", 0, "while something(else): wait()").out == "no pattern fits\n");
  CHECK(agent("suggest retrying '" + code + "'").out == "no pattern fits\n");

  const auto pattern = listed()[0].as_object();
  CHECK(pattern.at("pattern_id") == one.at("pattern_id"));
  CHECK(pattern.at("state") == "confirmed");
  CHECK(pattern.at("instances") == 3);
  CHECK(pattern.at("usage_count") == 12);
  CHECK(pattern.at("description") == "one call for all of them");
  const auto shown = run_coordinator_command(fleet, "patterns");
  CHECK(shown.code == 0);
  CHECK_THAT(shown.out, Catch::StartsWith("pattern") && Catch::Contains("batching") && Catch::Contains("confirmed") &&
                            Catch::Contains("0.983333") && Catch::Contains("one call for all of them"));
  CHECK(run_coordinator_command(fleet, "patterns everything").code == 2);

  auto wrong = report(2);
  wrong.erase("pattern_type");
  agent.refused("pattern -", 1, "success_rate: ", json::serialize(wrong));
  agent.refused("pattern -", 1, "pattern_type", json::serialize(wrong));
  agent.refused("pattern -", 2, "standard input: not valid JSON", "pattern");
  agent.refused("pattern /nowhere.json", 2, "/nowhere.json: cannot be read");
  agent.refused("suggest batching", 2, "TYPE FILE|-");
  agent.refused("suggest batching /nowhere.txt", 2, "/nowhere.txt: cannot be read");
  agent.refused("suggest batching -", 1, "code: ");
  agent.refused("suggest '' -", 1, "pattern_type: ", "code");
}

TEST_CASE("agent commands: profiles lists what the fleet has sent") {
  daemon_fleet fleet({.name = "commands_profiles", .agents = 1});
  const command_line agent{fleet.agent(0)};
  CHECK(agent("profiles").out == "none\n");
  CHECK(agent("profiles --json").json() == json::array());
  fleet.psql(R"(select quantumflow.publish('guardian_safety_profiles_queue', '{"type": "safety_profile_update",
      "instance_id": "broadcast", "agent_type": "OptimizationAgent", "source": "operator",
      "safety_profile": {"error_threshold": 0.125, "latency_threshold": 900, "observation_window_seconds": 30},
      "timestamp": "2026-01-01T00:00:00.000Z"}'))");
  const auto listed = [&] { return run_agent_command(agent.agent, "profiles --json").json().as_array(); };
  const bool came = wait_until([&] { return listed().size() == 1; });
  INFO(fleet.logs());
  REQUIRE(came);
  const auto one = listed()[0].as_object();
  CHECK(one.at("agent_type") == "OptimizationAgent");
  CHECK(one.at("source") == "operator");
  CHECK(one.at("safety_profile").at("error_threshold") == 0.125);
  CHECK(one.at("sent_at") == "2026-01-01T00:00:00.000000Z");
  const auto table = agent("profiles").out;
  CHECK_THAT(table, Catch::StartsWith("agent type") && Catch::Contains("latency ms") && Catch::Contains("window s"));
  CHECK_THAT(table, Catch::Contains("OptimizationAgent") && Catch::Contains("0.125") && Catch::Contains("900"));
  agent.refused("profiles all", 2, "unexpected argument 'all'");
}

TEST_CASE("agent commands: without an agent they say so; --help tells of each") {
  daemon_fleet fleet({.name = "commands_away", .agents = 1, .start = false});
  const command_line agent{fleet.agent(0)};
  agent.refused("votes", 1, "the agent does not answer");
  agent.refused("vote p approve --confidence 1 --reason r", 1, "the agent does not answer");
  agent.refused("report-metrics p -", 1, "the agent does not answer", "{}");
  agent.refused("pattern -", 1, "the agent does not answer", "{}");
  agent.refused("suggest type -", 1, "the agent does not answer", "code");
  agent.refused("profiles", 1, "the agent does not answer");
  for (const auto* command : {"votes", "vote", "report-metrics", "pattern", "suggest", "profiles"})
    CHECK_THAT(agent(command + std::string(" --help")).out, Catch::Contains("--json") && Catch::Contains(command));
}
