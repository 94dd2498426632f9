// The dashboard's files, and its views as a browser shows them: headless Chromium on real daemons.
#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <catch2/catch.hpp>
#include <regex>
#include <set>

#include "tests/support/browser.hpp"
#include "tests/support/busy_fleet.hpp"

using namespace fleet;
using namespace fleet::test;

namespace {

http::client_response get(const std::string& address, const std::string& target) {
  http::client_request request;
  request.to = http::endpoint::parse(address).value();
  request.target = target;
  auto response = http::call_blocking(std::move(request));
  REQUIRE(response.has_value());
  return *response;
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

/// Nothing was thrown, refused or missing since the last look.
void check_quiet(browser& page) {
  for (const auto& each : page.log()) {
    CAPTURE(each.source, each.level, each.text);
    CHECK(each.level != "SEVERE");
  }
}

/// How many samples of the proposal broke the bound of the metric, as the database has it.
std::string breaches_of(const daemon_fleet& fleet, const std::string& proposal, const std::string& metric) {
  return fleet.psql("select count(*) from centralcloud.sample where proposal_id = '" + proposal +
                    "' and breaches @> '[{\"reason\": \"" + metric + "_breach\"}]'");
}

void check_inert(browser& page) {
  CHECK(page.text_of("document.title !== 'hurt' && window.hurt === undefined") == "true");
  CHECK(page.text_of("document.querySelectorAll('main :is(script, img, b), [onerror], [href^=javascript]').length") ==
        "0");
}

void visit_hostile_proposal(browser& page, const busy_fleet& fleet) {
  page.click("nav a", "Proposals");
  page.click("td a", hostile_lines.front());
  page.wait("location.hash === '#/proposals/" + fleet.hostile + "'");
  page.wait("document.querySelectorAll('.line[data-kind=added]').length === " + std::to_string(hostile_lines.size()));
  int at = 0;
  for (const auto* line : hostile_lines) {
    const auto nth = "document.querySelectorAll('.line[data-kind=added]')[" + std::to_string(at++) + "].textContent";
    CHECK(page.text_of(nth) == "+" + std::string(line));
  }
  check_inert(page);
  const std::string colour = ")).backgroundColor";
  const std::string of = "getComputedStyle(document.querySelector('.line[data-kind=";
  CHECK(page.text_of(of + "added]'" + colour) != page.text_of(of + "same]'" + colour));
  // The rule that decided, who voted how and why, and each step with its time.
  for (const auto* text : {"Enough approvals with enough confidence", "3 of 3, at least", "agent-2", "received",
                           "voting", "approved", "executing", "watching", "confirmed", "reported applied"}) {
    CAPTURE(text);
    CHECK(page.shows(text));
  }
}

void visit_harmful_proposal(browser& page, const busy_fleet& fleet) {
  page.click("nav a", "Proposals");
  page.click(".filter a", "rolled back");
  page.wait("document.querySelectorAll('tbody tr').length === 1");
  page.click("td a", "Greet with a hurt");
  page.wait("document.querySelector('.metric') !== null");
  const std::string figure =
      "[...document.querySelectorAll('.metric')].find((each) => each.textContent.startsWith('success_rate'))";
  const auto broken = breaches_of(fleet.daemons, fleet.harmful, "success_rate");
  CHECK(broken != "0");
  CHECK(page.text_of(figure + ".querySelectorAll('.breach').length") == broken);
  CHECK(page.text_of(figure + ".querySelectorAll('.limit').length") == "1");
  CHECK(page.text_of(figure + ".querySelectorAll('.before').length") == "1");
  const auto told = page.text_of(figure + ".querySelector('svg').getAttribute('aria-label')");
  CHECK(has(told, broken + " of "));
  CHECK(has(told, "samples break the bound"));
  CHECK(page.shows("success rate breach"));
  CHECK(page.shows("rolled back"));
  // Its steps in their order, and that the rollback can be asked for only once.
  CHECK(page.text_of("[...document.querySelectorAll('.way-state')].map((each) => each.textContent).join()") ==
        "received,voting,approved,executing,watching,rolling back,rolled back");
  CHECK(page.text_of("document.querySelector('.heading button.danger').checkVisibility()") == "false");
  // It brought a whole file: what that does to the one that was there, as the instance says.
  const std::string file =
      "[...document.querySelectorAll('.diff')].find((each) => each.textContent.startsWith('service.conf'))";
  CHECK(page.text_of(file + ".querySelector('[data-kind=removed]').textContent") == "-greeting=hello");
  CHECK(page.text_of(file + ".querySelector('[data-kind=added]').textContent") == "+greeting=hurt");
  CHECK(page.text_of(file + ".querySelector('.tally').textContent") == "+1 -1");
  CHECK(page.shows("Compared by agent-1 with its own files as they were when it proposed this, commit "));
}

/// Of files whose instance says nothing of what they were, or what cannot be so, nothing is claimed.
void visit_files_that_are_not_known(browser& page, const busy_fleet& fleet) {
  const auto propose = [&](const std::string& id, const std::string& preview, int blocks = 2) {
    auto message = boost::json::parse(
        R"({"type": "proposal_for_consensus", "instance_id": "agent-1", "agent_type": "T", "impact_score": 5,)"
        R"( "risk_score": 5, "safety_profile": {}, "timestamp": "2026-01-01T00:00:00Z", "code_change":)"
        R"( {"files": {"service.conf": "greeting=hi\n", "old.conf": null}}})");
    message.as_object()["proposal_id"] = id;
    if (!preview.empty()) message.as_object()["preview"] = boost::json::parse(preview);
    fleet.daemons.psql("select quantumflow.publish('proposals_for_consensus_queue', $message$" +
                       boost::json::serialize(message) + "$message$::jsonb)");
    page.go("about:blank");
    page.go(fleet.root() + "proposals/" + id);
    page.wait("document.querySelectorAll('.diff').length === " + std::to_string(blocks));
    CHECK(page.text_of("document.querySelectorAll(':is([data-kind=added], [data-kind=removed])').length") == "0");
    CHECK(page.text_of("document.querySelector('.line').textContent") == "greeting=hi");
  };
  propose("silent", "");
  CHECK(page.shows("the whole file as it will be; what it is now, the instance did not say"));
  CHECK(page.shows("is deleted; what was in it, the instance did not say"));
  CHECK_FALSE(page.shows("Compared by"));
  propose("liar-1",
          R"({"files": {"old.conf": 7, "service.conf": "@@ -1 +1 @@\n-greeting=hello\n+greeting=harmless\n"}})");
  CHECK(page.shows("the difference that the instance sent does not lead to it"));
  propose("liar-2", R"({"files": {"service.conf": "@@ -1,2 +1,2 @@\n greeting=hi\n"}})");
  CHECK(page.shows("the difference that the instance sent does not lead to it"));
  // Of what it says to stay, the whole is there to be looked at.
  propose("same", R"({"files": {"service.conf": ""}})", 3);
  CHECK(page.shows("stays as it is"));
  page.click("summary", "The whole of service.conf, as it will be");
  page.wait("document.querySelector('details.whole[open] .line').checkVisibility()");
}

void visit_the_rest(browser& page, const busy_fleet& fleet) {
  page.click("nav a", "Overview");
  CHECK(page.text_of("document.querySelectorAll('svg.flow a.pipe').length") == "10");
  page.click("svg.flow a.pipe", "Votes");
  page.wait_for("votes_for_consensus_queue");
  page.click("main a", "Dead letters of this queue");
  page.wait("document.querySelectorAll('.message').length === 2");
  page.click("summary", "nonsense");
  page.wait("document.querySelector('details[open] .json').textContent.includes('nonsense')");
  page.click("nav a", "Alerts");
  page.wait_for("2 dead letters");
  page.click("nav a", "Patterns");
  page.wait_for("One call for many messages");
  page.click("summary", "The code");
  page.wait_for("onerror");
  check_inert(page);
  page.click("nav a", "Safety profiles");
  page.wait_for("BugFixerAgent");
  page.click("nav a", "Instances");
  for (const auto& agent : fleet.daemons.agents) page.wait_for(agent->instance);
  CHECK_FALSE(page.shows("Show more"));
  page.click("nav a", "Alerts");
  page.wait_for("deploy/runbook.md#deadletters");
  page.click("nav a", "Overview");
  page.click(".stage", "Approved");
  page.wait_for("No proposal is approved, not begun");
  page.go(fleet.root() + "nothing");
  page.wait_for("There is no such view");
}

/// A page that follows a change has its code and its samples already, and asks for the rest.
void leave_out_what_is_known(const busy_fleet& fleet) {
  const auto& address = fleet.daemons.coordinator_addresses.front();
  const auto target = "/v1/proposals/" + fleet.hostile;
  CHECK(has(get(address, target).body, "code_change"));
  const auto rest = get(address, target + "?code=false").body;
  CHECK_FALSE(has(rest, "code_change"));
  CHECK(has(rest, "safety_profile"));
  const auto samples = boost::json::parse(rest).at("samples").as_array();
  REQUIRE(samples.size() > 1);
  const auto first = samples.front().at("sample_id").as_int64();
  const auto later = get(address, target + "?code=false&samples_after=" + std::to_string(first)).body;
  CHECK(boost::json::parse(later).at("samples").as_array().size() == samples.size() - 1);
  CHECK(has(get(address, target + "?samples_after=x").body, "samples_after"));
}

void lose_the_coordinator(browser& page, const busy_fleet& fleet) {
  page.go(fleet.root() + "proposals/" + fleet.harmful);
  page.wait("document.querySelector('.metric') !== null");
  const std::string drawn = "document.querySelectorAll('details[data-key=samples] tbody tr').length";
  const auto samples = page.text_of(drawn);
  page.wait("document.querySelector('#link-state').dataset.state === 'live'");
  auto& coordinator = *fleet.daemons.coordinators[0];
  coordinator.kill9();
  page.wait_for("Connection lost: the coordinator does not answer");
  coordinator.start();
  page.wait("document.querySelector('#link-state').dataset.state === 'live'");
  page.wait("document.querySelector('#notice').hidden");
  // It asks again, for what it does not have, and still shows all.
  page.wait(
      "performance.getEntriesByType('resource').some((each) => /samples_after=[1-9]/.test(each.name) && "
      "each.responseStatus === 200)");
  CHECK(page.text_of(drawn) == samples);
  for (const auto& each : page.log()) {
    CAPTURE(each.text);
    CHECK(each.source == "network");
  }
}

}  // namespace

TEST_CASE("dashboard: every file that the page names is served, guarded, and not sent twice") {
  fleet_options options;
  options.name = "dashboard_files";
  options.agents = 0;
  const daemon_fleet fleet(options);
  const auto& address = fleet.coordinator_addresses.front();
  const auto page = get(address, "/");
  CHECK(page.status == 200);
  CHECK(has(page.headers.at("content-type"), "text/html"));
  CHECK(has(page.headers.at("content-security-policy"), "default-src 'none'"));
  CHECK_FALSE(has(page.headers.at("content-security-policy"), "unsafe"));
  CHECK_FALSE(std::regex_search(page.body, std::regex("<script>|<script [^>]*>[^<]|style=\"|https?://(?!www.w3.org)")));

  // Whatever is imported by what is imported.
  std::set<std::string> found;
  std::vector<std::string> texts = {page.body};
  while (!texts.empty()) {
    const auto text = std::move(texts.back());
    texts.pop_back();
    const std::regex names("(?:/assets/|from \"\\./)([a-z_]+\\.[a-z]+)");
    for (std::sregex_iterator each(text.begin(), text.end(), names), end; each != end; ++each) {
      const std::string name = (*each)[1];
      if (!found.insert(name).second) continue;
      const auto file = get(address, "/assets/" + name);
      CAPTURE(name);
      CHECK(file.status == 200);
      REQUIRE(file.headers.contains("etag"));
      CHECK(shell("curl -s -o /dev/null -w '%{http_code}' -H 'If-None-Match: " + file.headers.at("etag") +
                  "' 'http://" + address + "/assets/" + name + "'") == "304");
      texts.push_back(file.body);
    }
  }
  CHECK(found.size() >= 15);
  CHECK(get(address, "/assets/../application.cpp").status == 404);
}

TEST_CASE("dashboard: a browser shows what the fleet does, and takes no proposal's text for markup") {
  const busy_fleet fleet("dashboard_browser");
  browser page(fleet.daemons.directory);
  page.go(fleet.root());
  page.wait_for("3 of 3 instances live");
  page.wait_for("2 dead letters");
  page.wait_for(std::string("Shorten ") + hostile_lines.front());
  check_inert(page);
  visit_hostile_proposal(page, fleet);
  visit_harmful_proposal(page, fleet);
  visit_the_rest(page, fleet);
  check_quiet(page);
  leave_out_what_is_known(fleet);
  lose_the_coordinator(page, fleet);
  visit_files_that_are_not_known(page, fleet);
}
