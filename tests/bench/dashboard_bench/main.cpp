// The dashboard and its API over many proposals and instances: how long each call takes, how long a browser needs until
// a view is there, and what open pages cost.
//   dashboard_bench [--proposals N] [--instances N] [--shots DIRECTORY]        10000 and 300 where nothing is given
//     --shots   also a picture of each view, in both themes, 1400 and 390 pixels wide
// PostgreSQL runs with fsync.
#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/bench/dashboard_bench/seed.hpp"
#include "tests/support/browser.hpp"
#include "tests/support/dashboard_views.hpp"
#include "tests/support/private_postgres.hpp"
#include "tests/support/process_cost.hpp"

using namespace fleet;
using namespace fleet::bench;
using namespace fleet::test;

namespace {

constexpr int calls_each = 100;
constexpr int loads_each = 5;
constexpr std::chrono::seconds watched_for{20};

struct options {
  int proposals = 10'000;
  int instances = 300;
  std::string shots;
};

double milliseconds(const std::function<void()>& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
}

double at(std::vector<double> all, double part) {
  std::sort(all.begin(), all.end());
  return all[static_cast<std::size_t>(part * static_cast<double>(all.size() - 1))];
}

void measure_call(const daemon_fleet& fleet, const std::string& target) {
  std::vector<double> took;
  std::size_t bytes = 0;
  for (int i = 0; i < calls_each; ++i) {
    http::client_request request;
    request.to = http::endpoint::parse(fleet.coordinator_addresses.front()).value();
    request.target = target;
    took.push_back(milliseconds([&] {
      const auto answer = http::call_blocking(std::move(request));
      if (!answer || answer->status != 200) throw std::runtime_error("no answer to " + target);
      bytes = answer->body.size();
    }));
  }
  std::printf("| `%s` | %.1f | %.1f | %.0f |\n", target.c_str(), at(took, 0.5), at(took, 0.99),
              static_cast<double>(bytes) / 1024);
  std::fflush(stdout);
}

void measure_calls(const daemon_fleet& fleet, const seeded& from) {
  std::printf("\n| GET | p50, ms | p99, ms | KiB |\n|---|---:|---:|---:|\n");
  for (const std::string& target :
       {std::string("/v1/overview"), std::string("/v1/activity"), std::string("/v1/queues"),
        std::string("/v1/proposals?limit=50"), "/v1/proposals?limit=50&after=" + from.in_the_middle,
        std::string("/v1/proposals?limit=50&status=confirmed"), std::string("/v1/proposals?limit=50&status=not_begun"),
        "/v1/proposals/" + from.rolled_back, "/v1/proposals/" + from.longest,
        "/v1/proposals/" + from.longest + "?code=false", std::string("/v1/instances?limit=100"),
        std::string("/v1/instances?limit=1000"), std::string("/v1/dlq?limit=100"),
        std::string("/v1/alerts?recent=true"), std::string("/v1/patterns?limit=100"),
        std::string("/v1/safety-profiles"), std::string("/v1/queues/voting_requests_queue/messages?limit=50")})
    measure_call(fleet, target);
}

std::vector<dashboard_view> views(const seeded& from) {
  return {{"overview", "", ".columns:has(.stage) .feed time"},
          {"proposals", "proposals", "tbody tr"},
          {"confirmed", "proposals?status=confirmed", "tbody tr"},
          {"rolled_back", "proposals/" + from.rolled_back, ".metric"},
          {"thousand_samples", "proposals/" + from.longest, ".metric"},
          {"queues", "queues", "tbody tr"},
          {"queue", "queues/votes_for_consensus_queue", ".empty"},
          {"instances", "instances", "tbody tr"},
          {"dead_letters", "dead-letters", ".message"},
          {"alerts", "alerts", ".message"},
          {"patterns", "patterns", ".message"},
          {"profiles", "profiles", "tbody tr"}};
}

std::string root_of(const daemon_fleet& fleet) {
  return "http://" + fleet.coordinator_addresses.front() + "/#/";
}

/// From the beginning of the navigation until the view's own content is there, by the browser's clock.
void measure_loads(browser& page, const daemon_fleet& fleet, const seeded& from) {
  std::printf("\n| view, loaded anew | median of %d, ms |\n|---|---:|\n", loads_each);
  for (const auto& each : views(from)) {
    std::vector<double> took;
    for (int i = 0; i < loads_each; ++i) {
      page.go("about:blank");
      page.go(root_of(fleet) + each.path);
      took.push_back(page.run("return new Promise((done) => { const look = () => document.querySelector('main " +
                              each.shows +
                              "') ? done(performance.now() + 0.001) : requestAnimationFrame(look); look(); })")
                         .to_number<double>());
    }
    std::printf("| %s | %.0f |\n", each.name.c_str(), at(took, 0.5));
    std::fflush(stdout);
  }
}

void measure_watching(const daemon_fleet& fleet, const std::string& what) {
  const auto server = private_postgres::shared().pid();
  const auto coordinator = fleet.coordinators.front()->pid();
  const auto before_server = cpu_seconds(server);
  const auto before_coordinator = cpu_seconds(coordinator);
  std::this_thread::sleep_for(watched_for);
  const auto part = 100.0 / static_cast<double>(watched_for.count());
  std::printf("| %s | %.2f | %.2f |\n", what.c_str(), (cpu_seconds(coordinator) - before_coordinator) * part,
              (cpu_seconds(server) - before_server) * part);
  std::fflush(stdout);
}

void measure_costs(browser& page, const daemon_fleet& fleet) {
  std::printf("\n| over %d s | coordinator, %% of a core | PostgreSQL |\n|---|---:|---:|\n",
              static_cast<int>(watched_for.count()));
  page.go("about:blank");
  measure_watching(fleet, "no page open");
  const auto watched =
      fleet.psql("select proposal_id from centralcloud.change where state = 'watching' order by started_at limit 1");
  page.go(root_of(fleet));
  measure_watching(fleet, "the overview");
  page.open_window(root_of(fleet) + "instances");
  page.open_window(root_of(fleet) + (watched.empty() ? "proposals" : "proposals/" + watched));
  measure_watching(fleet, "the overview, the instances, a watched proposal");
}

void measure(const options& wanted) {
  fleet_options about;
  about.name = "dashboard_bench";
  about.agents = 0;
  about.start = false;
  about.coordinator_settings = {{"instances.heartbeat_timeout_ms", "3600000"},
                                {"alerts.instance_silent_seconds", "3600"},
                                {"log.level", "warning"}};
  const daemon_fleet fleet(about);
  const auto from = seed(fleet, wanted.proposals, wanted.instances);
  std::printf("%d proposals, %d instances, %s samples, %s votes\n", wanted.proposals, wanted.instances,
              fleet.psql("select count(*) from centralcloud.sample").c_str(),
              fleet.psql("select count(*) from centralcloud.vote").c_str());
  fleet.coordinators.front()->start();
  const auto settled = [&] {
    return fleet.coordinator_ready() && fleet.psql("select count(*) from quantumflow.dead_letter") == "200";
  };
  if (!wait_until(settled, std::chrono::minutes(1))) throw std::runtime_error("not ready\n" + fleet.logs());
  measure_calls(fleet, from);
  browser page(fleet.directory);
  measure_loads(page, fleet, from);
  if (!wanted.shots.empty()) take_pictures(page, root_of(fleet), views(from), wanted.shots);
  measure_costs(page, fleet);
}

int usage() {
  std::fprintf(stderr, "usage: dashboard_bench [--proposals N] [--instances N] [--shots DIRECTORY], N at least 100\n");
  return 2;
}

bool read(int argc, char** argv, options& into) {
  const auto number = [](const std::string& word, int& to) {
    const auto parsed = std::from_chars(word.data(), word.data() + word.size(), to);
    return parsed.ec == std::errc() && parsed.ptr == word.data() + word.size() && to >= 100;
  };
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = argv[i];
    const std::string value = argv[i + 1];
    if (name == "--shots")
      into.shots = value;
    else if (!(name == "--proposals" && number(value, into.proposals)) &&
             !(name == "--instances" && number(value, into.instances)))
      return false;
  }
  return argc % 2 == 1;
}

}  // namespace

int main(int argc, char** argv) {
  options wanted;
  if (!read(argc, argv, wanted)) return usage();
  ::setenv("FLEET_TEST_FSYNC", "1", 1);
  // Caught, so that the daemon and the browser end with this: an uncaught exception runs no destructor.
  try {
    measure(wanted);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "dashboard_bench: %s\n", error.what());
    return 1;
  }
}
