// metrics.url with a real agent: what a service answers is in the samples that the Guardian judges.
#include <boost/json/serialize.hpp>
#include <catch2/catch.hpp>

#include "tests/support/commands.hpp"
#include "tests/support/http_service.hpp"

using namespace fleet::test;

namespace {

constexpr auto exposition =
    "# TYPE app_errors_total counter\napp_errors_total{code=\"500\",pod=\"a\"} 3\n"
    "app_errors_total{code=\"500\",pod=\"b\"} 4\napp_errors_total{code=\"404\"} 90\nerror_rate 0.02\n";
constexpr auto url_map = R"(error_count=app_errors_total{code="500"}, error_rate=error_rate)";

/// Whether a sample of the proposal has arrived at the coordinator with this among its figures.
bool arrived(const daemon_fleet& fleet, const std::string& proposal, const std::string& figures) {
  return fleet.psql("select count(*) > 0 from centralcloud.sample where proposal_id = '" + proposal +
                    "' and metrics_after @> '" + figures + "'") == "t";
}

bool logged(const agent_process& agent, const std::string& event, const std::string& reason) {
  const auto log = agent.process.log();
  const auto at = log.rfind(event);
  return at != std::string::npos && log.substr(at, log.find('\n', at) - at).find(reason) != std::string::npos;
}

}  // namespace

TEST_CASE("metrics.url: a service's figures are in the samples, a breach in them takes the change back") {
  http_service service;
  service.answer(exposition, "text/plain; version=0.0.4");
  daemon_fleet fleet({.name = "metrics_url",
                      .agents = 1,
                      .agent_settings = {{"metrics.command", R"(echo '{"memory": 50}')"},
                                         {"metrics.url", service.url("/metrics?all=1")},
                                         {"metrics.url_map", url_map}},
                      .coordinator_settings = {{"consensus.min_votes", "1"}}});
  auto& agent = fleet.agent(0);
  auto proposal = proposal_of({{"service.conf", "greeting=hi\n"}});
  proposal["safety_profile"].as_object()["observation_window_seconds"] = 600;
  const auto answer = agent.call("POST", "/v1/proposals", proposal);
  REQUIRE(answer.status == 201);
  const std::string id(answer.body.at("proposal_id").as_string());

  const bool exposed = wait_until([&] { return arrived(fleet, id, R"({"error_count": 7, "error_rate": 0.02})"); });
  INFO(fleet.logs());
  REQUIRE(exposed);
  CHECK(fleet.psql("select baseline @> '{\"error_count\": 7}' from centralcloud.change where proposal_id = '" + id +
                   "'") == "t");

  // The other source goes on, and does not hide that this one says nothing.
  service.answer("<html>down for maintenance</html>", "text/html");
  REQUIRE(wait_until([&] { return logged(agent, "metrics_source_failed", "metrics.url: line 1"); }));
  REQUIRE(wait_until([&] {
    return fleet.psql("select count(*) > 0 from centralcloud.sample where proposal_id = '" + id +
                      "' and metrics_after @> '{\"memory\": 50}' and not metrics_after ? 'error_count'") == "t";
  }));

  service.answer(R"({"queue_depth": 12, "error_rate": 0.01})", "application/json");
  REQUIRE(wait_until([&] { return arrived(fleet, id, R"({"queue_depth": 12, "error_rate": 0.01})"); }));
  CHECK(logged(agent, "metrics_source_answers", "occurrences"));

  service.answer(R"({"success_rate": 0.70, "error_rate": 0.30})", "application/json");
  const bool taken_back = wait_until([&] { return agent.status_of(id) == "rolled_back"; });
  INFO(fleet.logs());
  CHECK(taken_back);
  CHECK(agent.file("service.conf") == "greeting=hello\n");
}

TEST_CASE("metrics.url: check-config refuses a wrong address and a wrong map by their names, and so does run") {
  daemon_fleet fleet({.name = "metrics_url_config", .agents = 1, .start = false});
  auto& agent = fleet.agent(0);
  const std::string url = " --metrics.url http://127.0.0.1:9100/metrics";
  const auto good = run_agent_command(agent, "check-config" + url + " --metrics.url_map '" + url_map + "'");
  INFO(good.all());
  CHECK(good.code == 0);
  CHECK_THAT(good.out, Catch::Contains("metrics.url_map = " + std::string(url_map)));
  const auto refused = [&](const std::string& flags, const std::string& key) {
    for (const auto* command : {"check-config", "run"}) {
      const auto wrong = run_agent_command(agent, command + flags);
      INFO(wrong.all());
      CHECK(wrong.code == 2);
      CHECK_THAT(wrong.err, Catch::Contains(key + ": "));
    }
  };
  refused(url + " --metrics.url_map error_count", "metrics.url_map");
  refused(url + " --metrics.url_map 'error_count=errors{code=500}'", "metrics.url_map");
  refused(" --metrics.url_map error_count=errors_total", "metrics.url");
  refused(" --metrics.url https://127.0.0.1/", "metrics.url");
  refused(" --metrics.url http://service.example/metrics", "metrics.url");
}
