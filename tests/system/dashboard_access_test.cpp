// Whether everybody can use the dashboard: by keyboard, with a screen reader, with weak eyes, on a phone.
#include <boost/json/array.hpp>
#include <catch2/catch.hpp>
#include <fstream>
#include <sstream>

#include "tests/support/browser.hpp"
#include "tests/support/busy_fleet.hpp"

using namespace fleet;
using namespace fleet::test;

namespace {

constexpr double least_contrast = 4.5;  // WCAG 2.2, level AA

struct view {
  std::string path;
  std::string shows;  ///< a selector of what it has when all is there
};

const view overview{"", ".feed time"};
const view dead_letters{"dead-letters", ".message"};

std::vector<view> views(const busy_fleet& fleet) {
  return {overview,
          {"proposals", "table"},
          {"proposals/" + fleet.hostile, ".metric"},
          {"proposals/" + fleet.harmful, ".metric"},
          {"queues", "table"},
          {"queues/learning_loop_completed_queue", ".message"},
          {"instances", "table"},
          dead_letters,
          {"alerts", ".message"},
          {"patterns", ".message"},
          {"profiles", "table"}};
}

/// Loads the page anew, waits until it has all, and unfolds it.
void show(browser& page, const busy_fleet& fleet, const view& which) {
  page.go("about:blank");
  page.go(fleet.root() + which.path);
  page.wait("document.querySelector('#link-state')?.dataset.state === 'live'");
  page.wait("document.querySelector('main " + which.shows + "') !== null");
  page.run("for (const each of document.querySelectorAll('details')) each.open = true");
  std::ifstream in(FLEET_SOURCE_DIR "/tests/support/page_checks.js");
  std::ostringstream checks;
  checks << in.rdbuf();
  page.run(checks.str());
}

void check_none(browser& page, const std::string& what, const std::string& call) {
  const auto found = page.run("return pageChecks." + call).as_array();
  CAPTURE(what);
  for (const auto& each : found) FAIL_CHECK(what << ": " << std::string(each.as_string()));
}

void check_readable(browser& page, const std::string& where) {
  check_none(page, where + ", contrast", "faint(" + std::to_string(least_contrast) + ")");
}

void check_keyboard(browser& page, const std::string& where) {
  page.run("pageChecks.follow()");
  const auto stops = page.run("return pageChecks.reachable()").to_number<int>();
  page.press(key::tab, stops + 3);
  check_none(page, where + ", keyboard", "walk()");
}

void use_without_a_mouse(browser& page, const busy_fleet& fleet) {
  page.resize(1400, 1000);
  show(page, fleet, dead_letters);
  // The first stop leads past the navigation.
  page.press(key::tab);
  CHECK(page.text_of("document.activeElement.textContent") == "Skip to the content");
  page.press(key::enter);
  CHECK(page.text_of("document.activeElement.id") == "main");
  page.press(key::tab);
  CHECK(page.text_of("document.activeElement.textContent") == "Purge all…");
  page.press(key::tab);
  const auto first = page.text_of("document.activeElement.dataset.key");
  CHECK(first.starts_with("retry-"));
  page.press(key::enter);
  page.wait("document.querySelector('dialog[open]') !== null");
  // A dialog says what it is, and gives the focus back.
  CHECK(page.text_of("document.getElementById(document.querySelector('dialog').getAttribute('aria-labelledby'))"
                     ".textContent") == "Try this message again?");
  page.press(key::escape);
  page.wait("document.querySelector('dialog') === null");
  CHECK(page.text_of("document.activeElement.dataset.key") == first);

  // Where what had the focus goes, the focus stays in the view.
  page.press(key::enter);
  page.click("dialog button", "Retry");
  page.wait_for("The message is on its way again.");
  page.wait("document.querySelector('dialog') === null");
  page.wait("document.querySelector('[data-key=" + first + "]') === null");
  CHECK(page.text_of("document.querySelector('main').contains(document.activeElement)") == "true");
}

void keep_the_theme(browser& page, const busy_fleet& fleet) {
  page.prefer("light");
  const std::string ground = "getComputedStyle(document.body).backgroundColor";
  const auto light = page.text_of(ground);
  page.click("#theme");
  page.click("#theme");
  CHECK(page.text_of("document.querySelector('#theme').textContent") == "Theme: dark");
  CHECK(page.text_of(ground) != light);
  show(page, fleet, overview);
  CHECK(page.text_of("document.documentElement.dataset.theme") == "dark");
}

}  // namespace

TEST_CASE("dashboard: every view can be read in both themes, reached by keyboard, and fits a phone") {
  const busy_fleet fleet("dashboard_access");
  fleet.daemons.psql("select quantumflow.publish('learning_loop_completed_queue', '{\"proposal_id\": \"p\"}')");
  browser page(fleet.daemons.directory);
  for (const auto& each : views(fleet)) {
    const auto& path = each.path;
    page.prefer("light");
    page.resize(1400, 1000);
    show(page, fleet, each);
    check_readable(page, path + ", light");
    page.prefer("dark");
    check_readable(page, path + ", dark");
    check_none(page, path + ", names", "nameless()");
    check_keyboard(page, path);
    page.resize(390, 844, true);
    show(page, fleet, each);
    check_none(page, path + ", on a phone", "wide()");
    check_readable(page, path + ", on a phone");
  }
  use_without_a_mouse(page, fleet);
  keep_the_theme(page, fleet);
  // At a common width each queue is drawn with the course of its last minutes.
  page.wait(
      "[...document.querySelectorAll('.spark')].every((each) => each.style.display === '' && "
      "each.getAttribute('d')?.length > 0)");
  CHECK(page.log().empty());
}
