// Pictures of every view of the dashboard, in both themes, 1400 and 390 pixels wide, while a real fleet is at work:
// three agents, a coordinator, Chromium.
//   dashboard_shots DIRECTORY [SECONDS]      SECONDS: how long the fleet works before, 90 where nothing is given
#include <array>
#include <boost/json/object.hpp>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <exception>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/busy_fleet.hpp"
#include "tests/support/dashboard_views.hpp"

using namespace fleet;
using namespace fleet::test;

namespace {

struct idea {
  const char* file;
  const char* setting;
  const char* description;
};

constexpr std::array ideas = {
    idea{"cache.conf", "keep_seconds", "Keep prices in the cache for longer"},
    idea{"retry.conf", "first_delay_ms", "Try failed payments again with another delay"},
    idea{"pool.conf", "connections", "As many connections as the database likes"},
    idea{"search.conf", "page_size", "Larger pages of search results"},
    idea{"limits.conf", "max_items", "Refuse orders that no customer means"},
};

/// One line of it differs from round to round.
std::string content_of(const idea& of, int round) {
  return std::string("# ") + of.description + "\nservice = shop\nowner = platform\n" + of.setting + " = " +
         std::to_string(8 + round % 7) + "\nlog = errors\nreload = on\n";
}

/// The agents propose in turn: most is good, some is too risky to be approved, and some does harm.
std::string propose(daemon_fleet& fleet, int round) {
  const auto& what = ideas.at(static_cast<std::size_t>(round) % ideas.size());
  std::map<std::string, std::string> files{{what.file, content_of(what, round)}};
  std::string description = what.description;
  if (round % 11 == 5) {
    files = {{"metrics.json", R"({"success_rate": 0.71, "error_rate": 0.29, "latency_p95_ms": 480})"
                              "\n"}};
    description = "Answer without waiting for the stock";
  }
  auto proposal = proposal_of(files, round % 5 == 4 ? 9.5 : 2 + round % 3, 5 + round % 5);
  auto& metadata = proposal["metadata"].emplace_object();
  metadata["description"] = description;
  metadata["change_type"] = "configuration";
  const auto answer =
      fleet.agent(static_cast<std::size_t>(round) % fleet.agents.size()).call("POST", "/v1/proposals", proposal);
  return answer.status == 201 ? std::string(answer.body.at("proposal_id").as_string()) : std::string();
}

/// Until it is gone.
class traffic {
 public:
  explicit traffic(daemon_fleet& fleet)
      : thread_([this, &fleet](const std::stop_token& stop) {
          for (int round = 0; !stop.stop_requested(); ++round) {
            propose(fleet, round);
            std::this_thread::sleep_for(std::chrono::milliseconds(700));
          }
        }) {}

 private:
  std::jthread thread_;
};

std::string one_that(const daemon_fleet& fleet, const std::string& condition) {
  return fleet.psql(
      "select proposal_id from centralcloud.proposals where description is not null and description not like '%<%' "
      "and " +
      condition + " order by received_at desc limit 1");
}

void take(const std::string& directory, std::chrono::seconds work) {
  busy_fleet fleet("dashboard_shots");
  const traffic busy(fleet.daemons);
  std::this_thread::sleep_for(work);
  const auto confirmed = one_that(fleet.daemons, "status = 'confirmed'");
  const auto rejected = one_that(fleet.daemons, "status = 'rejected'");
  browser page(fleet.daemons.directory);
  take_pictures(page, fleet.root(),
                {{"overview", "", ".columns:has(.stage) .feed time", std::chrono::seconds(20)},
                 {"proposals", "proposals", "tbody tr"},
                 {"confirmed", "proposals/" + confirmed, ".metric"},
                 {"rejected", "proposals/" + rejected, ".rule"},
                 {"rolled_back", "proposals/" + fleet.harmful, ".metric"},
                 {"queues", "queues", "tbody tr"},
                 {"queue", "queues/votes_for_consensus_queue", ".lead:not(:empty)"},
                 {"instances", "instances", "tbody tr"},
                 {"dead_letters", "dead-letters", ".message"},
                 {"alerts", "alerts", ".message"},
                 {"patterns", "patterns", ".message"},
                 {"profiles", "profiles", "tbody tr"}},
                directory);
}

}  // namespace

int main(int argc, char** argv) {
  int seconds = 90;
  const std::string given = argc == 3 ? argv[2] : "90";
  const auto parsed = std::from_chars(given.data(), given.data() + given.size(), seconds);
  if (argc < 2 || argc > 3 || parsed.ec != std::errc() || parsed.ptr != given.data() + given.size() || seconds < 0) {
    std::fprintf(stderr, "usage: dashboard_shots DIRECTORY [SECONDS]\n");
    return 2;
  }
  // Caught, so that the daemons and the browser end with this: an uncaught exception runs no destructor.
  try {
    take(argv[1], std::chrono::seconds(seconds));
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "dashboard_shots: %s\n", error.what());
    return 1;
  }
}
