// What a person changes with the dashboard, clicked in a browser and looked up in the database.
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "tests/support/browser.hpp"
#include "tests/support/busy_fleet.hpp"

using namespace fleet;
using namespace fleet::test;

namespace {

constexpr auto token = "a token of the operators, long enough";

/// The coordinator's token, in a file that goes with the test.
struct token_file {
  token_file() { std::ofstream(path) << token << "\n"; }
  ~token_file() { std::filesystem::remove(path); }
  token_file(const token_file&) = delete;
  token_file& operator=(const token_file&) = delete;
  std::string path =
      (std::filesystem::temp_directory_path() / ("dashboard_token_" + std::to_string(::getpid()))).string();
};

std::string count(const daemon_fleet& fleet, const std::string& from) {
  return fleet.psql("select count(*) from " + from);
}

/// The log since the last look: nothing but requests that were refused for want of a token.
void check_only_refusals(browser& page) {
  for (const auto& each : page.log()) {
    CAPTURE(each.source, each.text);
    CHECK((each.source == "network" && each.text.find("401") != std::string::npos));
  }
}

void roll_back(browser& page, const busy_fleet& fleet) {
  const auto of_proposal = "centralcloud.rollback where proposal_id = '" + fleet.hostile + "'";
  page.go(fleet.root() + "proposals/" + fleet.hostile);
  page.click("button", "Roll back…");
  page.click("dialog button", "Cancel");
  page.wait("document.querySelector('dialog') === null");
  page.click("button", "Roll back…");
  page.click("dialog button", "Roll back");
  // Without a reason nothing is asked of anybody.
  CHECK(page.text_of("document.querySelector('dialog input').validity.valueMissing") == "true");
  page.type("dialog input[name=reason]", "it greets <b>nobody</b>");
  page.click("dialog button", "Roll back");

  // The operator's token is asked for; a wrong one is told where it was typed, and has done nothing.
  page.type("dialog input[type=password]", "a wrong one");
  page.click("dialog button", "Go on");
  page.wait_for("The coordinator does not accept this token.");
  CHECK(page.text_of("document.activeElement.type") == "password");
  CHECK(page.text_of("sessionStorage.getItem('token')") == "null");
  CHECK(count(fleet.daemons, of_proposal) == "0");
  page.run("document.querySelector('dialog input[type=password]').value = ''");
  page.type("dialog input[type=password]", token);
  page.click("dialog button", "Go on");
  page.wait_for("The rollback is triggered.");
  page.wait("document.querySelector('dialog') === null");

  page.wait("document.querySelector('.heading .chip').textContent === 'rolled back'");
  page.wait_for("it greets <b>nobody</b>");
  CHECK(page.text_of("document.querySelector('.heading button.danger').checkVisibility()") == "false");
  CHECK(fleet.daemons.psql("select reason, note, actor, outcome from " + of_proposal) ==
        "operator|it greets <b>nobody</b>|operator (http)|rolled_back");
  CHECK(fleet.daemons.agents[0]->file("service.conf") == "greeting=hello\n");
  check_only_refusals(page);
}

void retry(browser& page, const busy_fleet& fleet) {
  page.go(fleet.root() + "dead-letters");
  page.wait("document.querySelectorAll('.message').length === 2");
  const auto message = fleet.daemons.psql("select msg_id from quantumflow.dead_letter where body like '%nonsense%'");
  const auto of_message = "quantumflow.operator_action where action = 'retry' and message_id = " + message;
  page.click("[aria-label='Retry message " + message + "']");
  page.click("dialog button", "Cancel");
  CHECK(count(fleet.daemons, of_message) == "0");
  page.click("[aria-label='Retry message " + message + "']");
  page.click("dialog button", "Retry");
  page.wait_for("The message is on its way again.");
  CHECK(count(fleet.daemons, of_message) == "1");
  // It still makes no sense to anybody, so it comes back, and says that it failed twice.
  const auto again = "quantumflow.dead_letter where msg_id = " + message + " and jsonb_array_length(errors) = 2";
  REQUIRE(wait_until([&] { return count(fleet.daemons, again) == "1"; }));
  page.wait("document.querySelectorAll('.message').length === 2");
}

void purge(browser& page, const busy_fleet& fleet) {
  page.go(fleet.root() + "dead-letters?queue=consensus_results_queue");
  page.wait_for("No dead letters of decisions");
  page.go(fleet.root() + "dead-letters");
  page.click("button", "Purge all…");
  page.press(key::escape);
  page.wait("document.querySelector('dialog') === null");
  CHECK(page.text_of("document.activeElement.textContent") == "Purge all…");
  CHECK(count(fleet.daemons, "quantumflow.dead_letter") == "2");
  page.click("button", "Purge all…");
  page.click("dialog button", "Purge");
  page.wait_for("2 dead letters are purged.");
  page.wait_for("No dead letters");
  CHECK(count(fleet.daemons, "quantumflow.dead_letter") == "0");
  CHECK(count(fleet.daemons, "quantumflow.operator_action where action = 'purge'") == "2");
  page.wait("!document.querySelector('[data-badge=dead-letters]').checkVisibility()");
}

}  // namespace

TEST_CASE("dashboard: a person rolls a change back, retries and purges dead letters, with the operators' token") {
  const token_file file;
  const busy_fleet fleet("dashboard_actions", {{"http.token_file", file.path}});
  browser page(fleet.daemons.directory);
  roll_back(page, fleet);
  retry(page, fleet);
  purge(page, fleet);
  // It was asked for once: what came later had it.
  CHECK(page.log().empty());
}
