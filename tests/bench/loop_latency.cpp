// The two delays that a user of the loop feels, on an unloaded fleet of real daemons with three policy voters:
//   propose:  POST /v1/proposals is sent        → the agent has handled the consensus_result
//   rollback: a breaching metrics report is sent → the agent has handled the rollback_trigger
// PostgreSQL runs with fsync. Prints p50, p90, p99 and the largest of each, and the fleet's idle cost.
//   loop_latency [COUNT]
#include <unistd.h>

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/daemons.hpp"

using namespace fleet::test;

namespace {

double now_seconds() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

void print(const char* what, std::vector<double> seconds) {
  std::sort(seconds.begin(), seconds.end());
  const auto at = [&](double share) {
    const auto last = static_cast<double>(seconds.size() - 1);
    return seconds[static_cast<std::size_t>(std::lround(share * last))] * 1000;
  };
  std::printf("%-46s n %4zu   p50 %7.2f   p90 %7.2f   p99 %7.2f   max %7.2f ms\n", what, seconds.size(), at(0.5),
              at(0.9), at(0.99), at(1));
}

/// A time that the database recorded, in seconds since the epoch; waits for it. Both clocks are this machine's.
double recorded(const daemon_fleet& fleet, const std::string& query) {
  // The times are the database's: asking for them early would only take the processor away from what is measured.
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  std::string answer;
  if (!wait_until([&] { return !(answer = fleet.psql(query)).empty(); }))
    throw std::runtime_error("nothing came of: " + query + "\n" + fleet.logs());
  return std::stod(answer);
}

std::string propose(agent_process& agent, int n) {
  const auto file = "file-" + std::to_string(n) + ".txt";
  const auto answer = agent.call("POST", "/v1/proposals", proposal_of({{file, "x\n"}}));
  if (answer.status != 201) throw std::runtime_error("refused: " + boost::json::serialize(answer.body));
  return std::string(answer.body.at("proposal_id").as_string());
}

void idle_cost(daemon_fleet& fleet, std::chrono::seconds duration) {
  const auto ticks = [](pid_t pid) {
    return std::stol(shell("awk '{print $14 + $15}' /proc/" + std::to_string(pid) + "/stat"));
  };
  const auto report = [&](const char* what, pid_t pid) {
    const auto before = ticks(pid);
    ::sleep(static_cast<unsigned>(duration.count()));
    const auto used = static_cast<double>(ticks(pid) - before) / static_cast<double>(::sysconf(_SC_CLK_TCK));
    const auto resident = std::stol(shell("awk '/^VmRSS/ {print $2}' /proc/" + std::to_string(pid) + "/status"));
    std::printf("idle %-20s %6.2f %% CPU over %lld s   %5.1f MiB resident\n", what,
                100 * used / static_cast<double>(duration.count()), static_cast<long long>(duration.count()),
                static_cast<double>(resident) / 1024);
  };
  report("centralcloud_daemon", fleet.coordinators[0]->pid());
  report("singularity_agent", fleet.agent(0).process.pid());
}

}  // namespace

int main(int argc, char** argv) {
  ::setenv("FLEET_TEST_FSYNC", "1", 1);
  const int count = argc > 1 ? std::atoi(argv[1]) : 100;
  if (count < 1 || count > 10'000) {
    std::fprintf(stderr, "usage: loop_latency [COUNT], 1 to 10000\n");
    return 2;
  }
  daemon_fleet fleet({.name = "loop_latency",
                      .agent_settings = {{"log.level", "info"}, {"execution.observation_window_seconds", "60"}},
                      .coordinator_settings = {{"log.level", "info"}, {"guardian.observation_window_seconds", "60"}}});
  auto& agent = fleet.agent(0);
  std::vector<double> proposing;
  std::vector<double> rolling_back;
  for (int n = 0; n < count; ++n) {
    const auto sent = now_seconds();
    const auto id = propose(agent, n);
    proposing.push_back(
        recorded(fleet, "select extract(epoch from at) from singularity.proposal_step where proposal_id = '" + id +
                            "' and to_state = 'consensus_reached'") -
        sent);
    recorded(
        fleet,
        "select extract(epoch from watch_until) from centralcloud.change where state = 'watching' and proposal_id = '" +
            id + "'");
    boost::json::object breach;
    breach["success_rate"] = 0.5;
    const auto reported = now_seconds();
    agent.call("POST", "/v1/proposals/" + id + "/metrics", breach);
    rolling_back.push_back(
        recorded(fleet,
                 "select extract(epoch from requested_at) from singularity.rollback where proposal_id = '" + id + "'") -
        reported);
    recorded(fleet, "select 1 from singularity.proposal where status = 'rolled_back' and proposal_id = '" + id + "'");
  }
  print("propose -> consensus_result handled", proposing);
  print("breach reported -> rollback_trigger handled", rolling_back);
  idle_cost(fleet, std::chrono::seconds(20));
  return 0;
}
