// What an operator sees and is told: scrapes, alerts, traces, with real daemons.
#include <unistd.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>

#include "common/telemetry/catalogue.hpp"
#include "tests/support/daemons.hpp"

using namespace fleet;
using namespace fleet::test;
namespace json = boost::json;

namespace {

constexpr auto bad_metrics = R"({"success_rate": 0.70, "error_rate": 0.30, "latency_p95_ms": 150})";

std::string get(const std::string& address, const std::string& target) {
  http::client_request request;
  request.to = http::endpoint::parse(address).value();
  request.target = target;
  const auto response = http::call_blocking(std::move(request));
  return response ? response->body : "no answer: " + response.error().message;
}

std::string propose(agent_process& agent, const json::object& proposal) {
  const auto answer = agent.call("POST", "/v1/proposals", proposal);
  INFO(json::serialize(answer.body));
  REQUIRE(answer.status == 201);
  return std::string(answer.body.at("proposal_id").as_string());
}

/// name → "type help", as a scrape says.
std::map<std::string, std::string> families_of(const std::string& scrape) {
  std::map<std::string, std::string> families;
  std::istringstream lines(scrape);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string hash, what, name, rest;
    words >> hash >> what >> name;
    std::getline(words >> std::ws, rest);
    if (hash != "#") continue;
    if (what == "HELP") families[name] = rest + families[name];
    if (what == "TYPE") families[name] += " | " + rest;
  }
  return families;
}

std::string as_scraped(const telemetry::catalogue::metric& what) {
  using telemetry::catalogue::kind;
  const std::string type = what.of == kind::counter ? "counter" : what.of == kind::gauge ? "gauge" : "histogram";
  return std::string(what.help) + " | " + type;
}

void check_families(const std::string& scrape, telemetry::catalogue::source other) {
  auto families = families_of(scrape);
  for (const auto& each : telemetry::catalogue::all) {
    const std::string name(each.name);
    CAPTURE(name);
    if (each.from == other) {
      CHECK_FALSE(families.contains(name));
      continue;
    }
    CHECK(families[name] == as_scraped(each));
    families.erase(name);
  }
  for (const auto& [name, text] : families) {
    CAPTURE(name, text);
    // Of prometheus-cpp itself.
    CHECK(name.starts_with("exposer_"));
  }
}

void check_with_promtool(const std::string& directory, const std::string& scrape) {
  const auto path = directory + "/scrape.txt";
  std::ofstream(path) << scrape;
  CHECK(shell("promtool check metrics < '" + path + "' 2>&1") == "");
}

std::string trace_id_in(const std::string& line) {
  static const std::regex field(R"(trace_id=([0-9a-f]{32}))");
  std::smatch found;
  return std::regex_search(line, found, field) ? found[1].str() : "";
}

/// The events of a log's lines that bear the trace.
std::set<std::string> events_of_trace(const std::string& log, const std::string& trace_id) {
  static const std::regex event(R"((?:debug|info|warning|error)\s+(\w+):)");
  std::set<std::string> events;
  std::istringstream lines(log);
  for (std::string line; std::getline(lines, line);) {
    std::smatch found;
    if (trace_id_in(line) == trace_id && std::regex_search(line, found, event)) events.insert(found[1].str());
  }
  return events;
}

void check_has(const std::set<std::string>& events, const std::vector<std::string>& wanted) {
  for (const auto& each : wanted) {
    std::string all;
    for (const auto& one : events) all += one + " ";
    CAPTURE(each, all);
    CHECK(events.contains(each));
  }
}

std::vector<json::object> notices_in(const std::string& path) {
  std::ifstream in(path);
  std::vector<json::object> notices;
  for (std::string line; std::getline(in, line);) notices.push_back(json::parse(line).as_object());
  return notices;
}

}  // namespace

TEST_CASE("observe: a scrape of each daemon is what the catalogue says, and a trace goes through the logs of both") {
  daemon_fleet fleet({.name = "observe_scrape",
                      .coordinator_settings = {{"metrics.sample_interval_ms", "200"}, {"log.level", "debug"}}});
  auto& agent = fleet.agent(0);
  // A change that does harm goes the longest way: proposed, voted on, executed, watched, taken back.
  const std::string trace_id = "4bf92f3577b34da6a3ce929d0e0e4736";
  std::ofstream(fleet.directory + "/proposal.json")
      << json::serialize(proposal_of({{"service.conf", "greeting=hurt\n"}, {"metrics.json", bad_metrics}}));
  const auto answer =
      shell("curl -sS --unix-socket '" + agent.socket + "' -H 'traceparent: 00-" + trace_id +
            "-00f067aa0ba902b7-01' -d @'" + fleet.directory + "/proposal.json' http://agent/v1/proposals");
  const auto id = std::string(json::parse(answer).at("proposal_id").as_string());
  const bool rolled_back = wait_until([&] { return agent.status_of(id) == "rolled_back"; });
  INFO(fleet.logs());
  REQUIRE(rolled_back);
  const auto coordinator = fleet.coordinator_addresses.front();
  // The queues' figures are sampled at intervals.
  for (const std::string line : {"centralcloud_rollbacks_total{outcome=\"rolled_back\"} 1",
                                 "quantumflow_queue_published_total{queue=\"votes_for_consensus_queue\"} 3"}) {
    INFO(line);
    REQUIRE(wait_until([&] { return get(coordinator, "/metrics").find(line) != std::string::npos; }));
  }

  const auto of_coordinator = get(coordinator, "/metrics");
  check_families(of_coordinator, telemetry::catalogue::source::agent);
  check_with_promtool(fleet.directory, of_coordinator);
  const auto has = [](const std::string& scrape, const std::string& line) {
    CAPTURE(line);
    CHECK(scrape.find(line) != std::string::npos);
  };
  has(of_coordinator, "centralcloud_decisions_total{rule=\"consensus\",status=\"approved\"} 1");
  has(of_coordinator, "centralcloud_votes_total{disposition=\"counted\",vote=\"approve\"} 3");
  has(of_coordinator, "centralcloud_rollbacks_triggered_total{reason=\"success_rate_breach\"} 1");
  has(of_coordinator, "centralcloud_breach_to_rollback_seconds_count 1");
  has(of_coordinator, "centralcloud_instances{state=\"live\"} 3");
  has(of_coordinator, "quantumflow_listen_up 1");
  has(of_coordinator, "quantumflow_queue_published_total{queue=\"votes_for_consensus_queue\"} 3");
  has(of_coordinator, "quantumflow_messages_handled_total{outcome=\"done\",queue=\"votes_for_consensus_queue\"} 3");
  const auto of_agent = get("unix:" + agent.socket, "/metrics");
  check_families(of_agent, telemetry::catalogue::source::coordinator);
  check_with_promtool(fleet.directory, of_agent);
  has(of_agent, "singularity_votes_total{by=\"policy\",vote=\"approve\"} 1");
  has(of_agent, "singularity_executions_total{outcome=\"applied\"} 1");
  has(of_agent, "singularity_rollbacks_total{outcome=\"rolled_back\",reason=\"success_rate_breach\"} 1");
  has(of_agent, "singularity_ready 1");

  check_has(events_of_trace(agent.process.log(), trace_id),
            {"proposal_accepted", "proposal_published", "vote_published", "consensus_approved", "change_applied",
             "metrics_published", "rollback_requested", "rollback_completed"});
  check_has(events_of_trace(fleet.agent(1).process.log(), trace_id), {"vote_published"});
  check_has(events_of_trace(fleet.coordinators[0]->log(), trace_id),
            {"proposal_received", "vote_opened", "vote_received", "consensus_result_published", "metrics_received",
             "rollback_trigger_published"});
}

TEST_CASE("observe: the trace of a pattern, and of figures that were told, goes through the logs of both daemons") {
  daemon_fleet fleet({.name = "observe_told", .coordinator_settings = {{"log.level", "debug"}}});
  const std::string told = "0af7651916cd43dd8448eb211c80319c";
  const std::string reported = "11111111111111111111111111111111";
  const std::string pattern = "22222222222222222222222222222222";
  const auto post = [&](std::size_t to, const std::string& target, const std::string& trace_id,
                        const std::string& body) {
    const auto code =
        shell("curl -sS -o /dev/null -w '%{http_code}' --unix-socket '" + fleet.agent(to).socket +
              "' -H 'traceparent: 00-" + trace_id + "-00f067aa0ba902b7-01' -d '" + body + "' http://agent" + target);
    CHECK(code == "202");
  };
  const auto id = propose(fleet.agent(0), proposal_of({{"service.conf", "greeting=hi\n"}}));
  REQUIRE(wait_until([&] { return fleet.agent(0).status_of(id) == "applied"; }));
  post(0, "/v1/metrics", told, R"({"agent_type": "OptimizationAgent", "metrics": {"queue_depth": 3}})");
  post(0, "/v1/proposals/" + id + "/metrics", reported, R"({"queue_depth": 4})");
  const std::string report =
      R"({"pattern_type": "cache", "success_rate": 0.99, "agent_type": "BugFixerAgent", "usage_count": 1,)"
      R"( "code_pattern": {"before": "load;", "after": "load_or_take_from_cache;", "description": "a cache"}})";
  for (const std::size_t to : {0U, 1U, 2U}) post(to, "/v1/patterns", pattern, report);
  const auto& coordinator = *fleet.coordinators[0];
  const auto taken = [&] {
    const auto log = coordinator.log();
    return log.find("metrics_trace_id=" + told) != std::string::npos &&
           log.find("metrics_trace_id=" + reported) != std::string::npos &&
           events_of_trace(fleet.agent(1).process.log(), pattern).contains("pattern_taken");
  };
  const bool reached = wait_until(taken);
  INFO(fleet.logs());
  REQUIRE(reached);
  const auto of_agent = fleet.agent(0).process.log();
  for (const auto& each : {told, reported}) {
    check_has(events_of_trace(of_agent, each), {"metrics_accepted"});
    CHECK(of_agent.find("metrics_trace_id=" + each) != std::string::npos);
  }
  check_has(events_of_trace(of_agent, pattern), {"pattern_published"});
  check_has(events_of_trace(coordinator.log(), pattern), {"pattern_received", "pattern_confirmed"});
}

TEST_CASE("observe: counters are there before anything has happened, and while the database is away") {
  using telemetry::catalogue::kind;
  using telemetry::catalogue::source;
  const auto nowhere = [](const std::string&) { return std::string("postgresql://nobody@127.0.0.1:1/none"); };
  daemon_fleet fleet({.name = "observe_start", .agents = 1, .route = nowhere, .start = false});
  fleet.agent(0).start();
  fleet.coordinators[0]->start();
  const auto check = [&fleet](const std::string& address, source other) {
    std::string scrape;
    const bool answered = wait_until([&] {
      scrape = get(address, "/metrics");
      return scrape.find("_ready 0") != std::string::npos;
    });
    INFO(fleet.logs());
    REQUIRE(answered);
    for (const auto& each : telemetry::catalogue::all) {
      const bool from_start = each.of != kind::gauge && (each.labels.empty() || !each.from_start.empty());
      CAPTURE(each.name);
      if (from_start && each.from != other)
        CHECK(scrape.find("# TYPE " + std::string(each.name) + " ") != std::string::npos);
    }
    CHECK(scrape.find("_events_total{event=\"publish_failed\"} 0") != std::string::npos);
  };
  check("unix:" + fleet.agent(0).socket, source::coordinator);
  check(fleet.coordinator_addresses.front(), source::agent);
}

TEST_CASE("observe: a request without a trace gets one, and it is the same in both daemons") {
  daemon_fleet fleet({.name = "observe_trace",
                      .agents = 1,
                      .coordinator_settings = {{"consensus.min_votes", "1"}, {"log.level", "debug"}}});
  auto& agent = fleet.agent(0);
  const auto id = propose(agent, proposal_of({{"service.conf", "greeting=hi\n"}}));
  const auto told = agent.raw_call("GET", "/v1/proposals/" + id, "");
  const std::string traceparent(told.body.at("traceparent").as_string());
  const auto trace_id = traceparent.substr(3, 32);
  const auto decided = [&] {
    return events_of_trace(fleet.coordinators[0]->log(), trace_id).contains("consensus_result_published");
  };
  const bool reached = wait_until(decided);
  INFO(fleet.logs());
  REQUIRE(reached);
  check_has(events_of_trace(agent.process.log(), trace_id), {"proposal_accepted", "proposal_published"});
}

TEST_CASE("observe: dead letters raise one alert, which a command is told of, and cleared when they are purged") {
  const auto directory = std::filesystem::temp_directory_path() / ("observe_alerts_" + std::to_string(::getpid()));
  std::filesystem::create_directories(directory);
  const auto notices = (directory / "notices.jsonl").string();
  // Two coordinators find the same and have the same command: a notice must come once all the same.
  daemon_fleet fleet({.name = "observe_alerts",
                      .agents = 0,
                      .coordinators = 2,
                      .coordinator_settings = {{"metrics.sample_interval_ms", "100"},
                                               {"alerts.dlq_messages", "2"},
                                               {"alerts.clear_after_seconds", "0.2"},
                                               {"alerts.command", "cat >> '" + notices + "'"}}});
  // A vote on a proposal that nobody made is refused: a dead letter at once. Text that a shell would act on is text.
  const std::string spite = R"($(touch pwned) `touch pwned` "; rm -rf x)";
  const auto publish = [&](int count) {
    fleet.psql(
        "select quantumflow.publish('votes_for_consensus_queue', jsonb_build_object('type', 'vote', "
        "'proposal_id', 'none', 'instance_id', 'a' || i, 'vote', 'approve', 'confidence', 0.9, 'reason', $$" +
        spite + "$$, 'timestamp', '2026-01-01T00:00:00Z')) from generate_series(1, " + std::to_string(count) + ") i");
  };
  publish(2);
  const bool dead = wait_until([&] { return fleet.psql("select count(*) from quantumflow.dead_letter") == "2"; });
  INFO(fleet.logs());
  REQUIRE(dead);
  CHECK(fleet.psql("select count(*) from centralcloud.alert where name = 'dead_letters'") == "0");
  publish(3);
  const bool told = wait_until([&] { return !notices_in(notices).empty(); });
  INFO(fleet.logs());
  REQUIRE(told);
  const auto list = "'" + daemon_binary("centralcloud_daemon") + "' alerts --json --active --database.url '" +
                    fleet.database_url + "'";
  const auto standing = json::parse(shell(list)).as_array();
  REQUIRE(standing.size() == 1);
  const auto& alert = standing[0].as_object();
  CHECK(alert.at("name") == "dead_letters");
  CHECK(alert.at("subject") == "votes_for_consensus_queue");
  CHECK(alert.at("severity") == "high");
  const auto over_http = json::parse(get(fleet.coordinator_addresses[1], "/v1/alerts")).at("alerts").as_array();
  REQUIRE(over_http.size() == 1);
  CHECK(over_http[0].at("alert_id") == alert.at("alert_id"));
  CHECK(alert.at("bound") == 2);
  fleet.psql("select quantumflow.purge_dlq()");
  REQUIRE(wait_until([&] { return notices_in(notices).size() == 2; }));
  CHECK(json::parse(shell(list)).as_array().empty());
  // Some rounds of both monitors later it still is one alert, told once when it came and once when it went.
  const auto rounds = [&](std::size_t of) {
    static const std::regex count(R"(quantumflow_sample_seconds_count (\d+))");
    const auto scrape = get(fleet.coordinator_addresses[of], "/metrics");
    std::smatch found;
    return std::regex_search(scrape, found, count) ? std::stoi(found[1].str()) : 0;
  };
  for (const std::size_t of : {0U, 1U}) {
    const auto before = rounds(of);
    REQUIRE(wait_until([&] { return rounds(of) >= before + 5; }));
  }
  const auto all = notices_in(notices);
  REQUIRE(all.size() == 2);
  CHECK(all[0].at("kind") == "raised");
  CHECK(all[1].at("kind") == "cleared");
  CHECK(all[0].at("alert_id") == all[1].at("alert_id"));
  CHECK(all[0].at("notice_id") != all[1].at("notice_id"));
  CHECK(all[0].at("name") == "dead_letters");
  CHECK(all[0].at("attempt") == 1);
  CHECK(fleet.psql("select count(*) from centralcloud.alert_notice") == "2");
  // An operator's own test goes the same way.
  const auto tested = json::parse(shell("'" + daemon_binary("centralcloud_daemon") +
                                        "' alerts test --json --database.url '" + fleet.database_url + "'"))
                          .as_array();
  REQUIRE(tested.size() == 1);
  CHECK(tested[0].at("channel") == "command");
  CHECK(tested[0].at("delivered") == true);
  CHECK_FALSE(std::filesystem::exists("pwned"));
  std::filesystem::remove_all(directory);
}
