#include "tests/support/busy_fleet.hpp"

#include <boost/json/serialize.hpp>
#include <stdexcept>
#include <utility>

namespace fleet::test {
namespace {

namespace json = boost::json;

std::map<std::string, std::string> settings_of(std::map<std::string, std::string> more) {
  more.emplace("metrics.sample_interval_ms", "200");
  more.emplace("alerts.dlq_messages", "0");
  more.emplace("alerts.clear_after_seconds", "0.2");
  return more;
}

fleet_options options_of(const std::string& name, std::map<std::string, std::string> coordinator_settings) {
  fleet_options options;
  options.name = name;
  options.coordinator_settings = settings_of(std::move(coordinator_settings));
  return options;
}

json::object hostile_proposal() {
  std::string patch = "--- a/service.conf\n+++ b/service.conf\n@@ -1 +1,5 @@\n greeting=hello\n";
  for (const auto* line : hostile_lines) patch += "+" + std::string(line) + "\n";
  auto proposal = proposal_of({});
  json::object change;
  change["patch"] = patch;
  proposal["code_change"] = std::move(change);
  proposal["metadata"].emplace_object()["description"] = std::string("Shorten ") + hostile_lines.front();
  return proposal;
}

json::object harmful_proposal() {
  auto proposal =
      proposal_of({{"service.conf", "greeting=hurt\n"},
                   {"metrics.json", R"({"success_rate": 0.70, "error_rate": 0.30, "latency_p95_ms": 150})"}});
  proposal["metadata"].emplace_object()["description"] = "Greet with a hurt";
  return proposal;
}

json::object pattern() {
  json::object code;
  code["before"] = "for each in all: send(each)";
  code["after"] = "send_all(all) // <img src=x onerror=\"window.hurt = true\">";
  code["description"] = "One call for many messages";
  json::object report;
  report["pattern_type"] = "batching";
  report["success_rate"] = 0.97;
  report["agent_type"] = "OptimizationAgent";
  report["code_pattern"] = std::move(code);
  return report;
}

void require(const daemon_fleet& fleet, bool holds, const std::string& what) {
  if (!holds) throw std::runtime_error("busy_fleet: " + what + "\n" + fleet.logs());
}

std::string propose(daemon_fleet& fleet, std::size_t agent, const json::object& proposal) {
  const auto answer = fleet.agent(agent).call("POST", "/v1/proposals", proposal);
  require(fleet, answer.status == 201, json::serialize(answer.body));
  return std::string(answer.body.at("proposal_id").as_string());
}

}  // namespace

busy_fleet::busy_fleet(const std::string& name, std::map<std::string, std::string> coordinator_settings)
    : daemons(options_of(name, std::move(coordinator_settings))) {
  hostile = propose(daemons, 0, hostile_proposal());
  harmful = propose(daemons, 1, harmful_proposal());
  require(daemons, daemons.agent(2).call("POST", "/v1/patterns", pattern()).status == 202, "the pattern was refused");
  daemons.psql(
      "select centralcloud.set_safety_profile('BugFixerAgent', '', '{\"error_threshold\": 0.05, \"needs_consensus\": "
      "true}', 'operator', 'test')");
  daemons.psql(
      "select quantumflow.publish('votes_for_consensus_queue', jsonb_build_object('proposal_id', t)) from "
      "unnest('{nonsense,\"<img src=x onerror=alert(1)>\"}'::text[]) t");
  const auto counts = [&](const std::string& from, const std::string& wanted) {
    const auto query = "select count(*) from " + from;
    require(daemons, wait_until([&] { return daemons.psql(query) == wanted; }), query + " is not " + wanted);
  };
  counts("centralcloud.change where state = 'confirmed' and proposal_id = '" + hostile + "'", "1");
  counts("centralcloud.change where state = 'rolled_back' and proposal_id = '" + harmful + "'", "1");
  counts("quantumflow.dead_letter", "2");
  counts("centralcloud.alert where name = 'dead_letters' and cleared_at is null", "1");
  counts("centralcloud.pattern", "1");
}

}  // namespace fleet::test
