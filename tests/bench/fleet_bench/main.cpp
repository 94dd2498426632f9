// A thousand registered instances on one database, simulated in one process: what they cost while nothing happens, told
// of messages and polling; how soon a broadcast is with all of them; how many proposals a second 50 voters decide.
//   fleet_bench [--instances N] [--voters N] [--seconds N]      1000, 50, 20 (of idleness, for each mode); under 5
//   minutes
// The coordinator is a real one. PostgreSQL runs with fsync, and counts statements with pg_stat_statements.
#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "common/messages/queues.hpp"
#include "tests/bench/fleet_bench/simulated_fleet.hpp"
#include "tests/support/daemons.hpp"
#include "tests/support/private_postgres.hpp"
#include "tests/support/process_cost.hpp"

using namespace fleet;
using namespace fleet::bench;
using steady = std::chrono::steady_clock;

namespace {

constexpr int broadcasts = 3;
constexpr int proposals = 20;
constexpr std::chrono::seconds longest_wait{60};

struct bench_options {
  int instances = 1000;
  int voters = 50;
  int seconds = 20;
};

struct cost {
  double postgres = 0;
  double coordinator = 0;
  double agents = 0;
  double statements = 0;
  double commits = 0;
};

/// Of this process without its children, the server among them.
double own_cpu_seconds() {
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  const auto seconds = [](const timeval& of) {
    return static_cast<double>(of.tv_sec) + static_cast<double>(of.tv_usec) / 1e6;
  };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

class bench_run {
 public:
  explicit bench_run(bench_options options) : options_(options), fleet_(fleet_options(options)) {
    fleet_.psql("create extension pg_stat_statements");
    simulated_fleet::register_all([this](const std::string& sql) { fleet_.psql(sql); }, options_.instances,
                                  options_.voters);
  }

  bool idle_and_broadcast(bool listens) {
    auto agents = simulated(listens);
    begin(*agents, listens);
    const auto before = measured();
    const auto began = steady::now();
    agents->run_for(std::chrono::seconds(options_.seconds));
    const auto after = measured();
    const double seconds = std::chrono::duration<double>(steady::now() - began).count();
    const auto rate = [&](double cost::*of) { return (after.*of - before.*of) / seconds; };
    fmt::print("| {} | {:.0f} | {:.0f} | {:.0f} % | {:.0f} % | {:.1f} % | {:.0f} MiB | {} |\n", mode(listens),
               rate(&cost::statements), rate(&cost::commits), 100 * rate(&cost::postgres), 100 * rate(&cost::agents),
               100 * rate(&cost::coordinator), test::resident_mib(fleet_.coordinators[0]->pid()), connections());
    const bool all = broadcast(*agents, listens);
    tell_failures(*agents);
    return all;
  }

  bool decide(bool listens) {
    auto agents = simulated(listens);
    begin(*agents, listens);
    const auto before = measured();
    const auto began = steady::now();
    for (int n = 0; n < proposals; ++n)
      agents->publish(std::string(messages::queues::proposals_for_consensus), proposal(proposed_ + n));
    proposed_ += proposals;
    const bool decided = agents->run_until([&] { return agents->results() >= proposals; }, std::chrono::seconds(120));
    const double seconds = std::chrono::duration<double>(steady::now() - began).count();
    const auto after = measured();
    decided_ +=
        fmt::format("| {} | {} | {:.1f} s | {:.2f} | {:.0f} | {:.1f} s | {:.0f} % | {:.0f} MiB |\n", mode(listens),
                    agents->results(), seconds, proposals / seconds, proposals * options_.voters / seconds,
                    after.postgres - before.postgres, 100 * (after.coordinator - before.coordinator) / seconds,
                    test::resident_mib(fleet_.coordinators[0]->pid()));
    tell_failures(*agents);
    const auto right = fmt::format("{}|{}", proposed_, proposed_ * options_.voters);
    const auto found = fleet_.psql(
        "select (select count(*) from centralcloud.decision where rule = 'consensus'), "
        "(select count(*) from centralcloud.vote where counted)");
    if (found != right) fmt::print(stderr, "WRONG: decisions|votes {}, expected {}\n", found, right);
    return decided && found == right;
  }

  void print_rest() const {
    fmt::print("\n| broadcast to {} | first | half | 99 % | all |\n|---|---:|---:|---:|---:|\n{}", options_.instances,
               broadcast_rows_);
    fmt::print(
        "\n| {} proposals, {} voters, sent to all | results | took | decided/s | votes/s | PostgreSQL's processor | "
        "coordinator CPU | its memory |\n|---|---:|---:|---:|---:|---:|---:|---:|\n{}\n",
        proposals, options_.voters, decided_);
    for (const auto& [text, times] : failures_) fmt::print("worker failures: {} × {}\n", times, text);
  }

 private:
  static test::fleet_options fleet_options(const bench_options& options) {
    test::fleet_options how;
    how.name = "fleet_bench";
    how.agents = 0;
    how.coordinator_settings = {{"log.level", "info"},
                                {"instances.heartbeat_timeout_ms", "60000"},
                                {"consensus.min_votes", std::to_string(options.voters)},
                                {"consensus.voting_timeout_ms", "300000"}};
    return how;
  }
  static std::string mode(bool listens) { return listens ? "told (LISTEN)" : "polling only"; }

  std::unique_ptr<simulated_fleet> simulated(bool listens) const {
    simulated_options how;
    how.url = fleet_.database_url;
    how.instances = options_.instances;
    how.voters = options_.voters;
    how.listens = listens;
    return std::make_unique<simulated_fleet>(how);
  }

  /// Until all have begun and lain down.
  void begin(simulated_fleet& agents, bool listens) const {
    const auto all = static_cast<std::size_t>(options_.instances);
    const bool listening = !listens || agents.run_until([&] { return agents.listening() == all; }, longest_wait);
    if (!listening) throw std::runtime_error("not all listen");
    agents.run_for(std::chrono::seconds(8));
  }

  cost measured() const {
    cost now;
    now.postgres = test::cpu_seconds(test::private_postgres::shared().pid());
    now.coordinator = test::cpu_seconds(fleet_.coordinators[0]->pid());
    now.agents = own_cpu_seconds();
    const auto counted = fleet_.psql(
        "select sum(calls) from pg_stat_statements where toplevel; "
        "select xact_commit from pg_stat_database where datname = current_database()");
    const auto line = counted.find('\n');
    now.statements = std::stod(counted.substr(0, line));
    now.commits = std::stod(counted.substr(line + 1));
    return now;
  }

  std::string connections() const {
    return fleet_.psql("select count(*) from pg_stat_activity where application_name = 'simulated agents'");
  }

  bool broadcast(simulated_fleet& agents, bool listens) {
    std::vector<std::vector<double>> delays;
    const auto all = static_cast<std::size_t>(options_.instances);
    for (int n = 0; n < broadcasts; ++n) {
      const auto pattern = fmt::format("{}-{}", listens ? "told" : "polled", n);
      const auto began = steady::now();
      boost::json::object payload;
      payload["pattern_id"] = pattern;
      agents.publish(std::string(messages::queues::consensus_patterns), std::move(payload));
      const bool reached = agents.run_until([&] { return agents.pattern_seen(pattern).size() >= all; }, longest_wait);
      const auto& seen = agents.pattern_seen(pattern);
      if (!reached) {
        fmt::print(stderr, "TOO LATE: the broadcast reached {} of {} in {} s\n", seen.size(), all,
                   longest_wait.count());
        return false;
      }
      auto& these = delays.emplace_back();
      for (const auto& at : seen) these.push_back(std::chrono::duration<double, std::milli>(at - began).count());
      std::sort(these.begin(), these.end());
    }
    const auto median_of = [&](double share) {
      std::vector<double> values;
      for (const auto& one : delays)
        values.push_back(one[static_cast<std::size_t>(share * static_cast<double>(one.size() - 1))]);
      std::sort(values.begin(), values.end());
      return values[values.size() / 2];
    };
    broadcast_rows_ += fmt::format("| {} | {:.0f} ms | {:.0f} ms | {:.0f} ms | {:.0f} ms |\n", mode(listens),
                                   median_of(0), median_of(0.5), median_of(0.99), median_of(1));
    if (agents.repeated() > 0) fmt::print(stderr, "WRONG: {} deliveries twice\n", agents.repeated());
    return agents.repeated() == 0;
  }

  void tell_failures(const simulated_fleet& agents) {
    for (const auto& [text, times] : agents.failures()) failures_[text] += times;
  }

  static boost::json::object proposal(int n) {
    boost::json::object one = test::proposal_of({{"file.txt", "x\n"}});
    one["type"] = "proposal_for_consensus";
    one["proposal_id"] = fmt::format("fleet-{}", n);
    one["instance_id"] = fmt::format("instance-{:04}", n);
    return one;
  }

  bench_options options_;
  test::daemon_fleet fleet_;
  std::string broadcast_rows_;
  std::string decided_;
  int proposed_ = 0;
  std::map<std::string, int> failures_;
};

/// What one real agent and coordinator cost while nothing happens.
void print_real_daemons(int seconds) {
  test::fleet_options how;
  how.name = "fleet_bench_real";
  how.agent_settings = {{"instance.heartbeat_ms", "2000"}, {"log.level", "info"}};
  how.coordinator_settings = {{"instances.heartbeat_timeout_ms", "60000"}, {"log.level", "info"}};
  const test::daemon_fleet fleet(how);
  fleet.psql("create extension pg_stat_statements");
  // Connections of the start are given back after a minute, those that idleness needs stay.
  std::this_thread::sleep_for(std::chrono::seconds(70));
  fleet.psql("select pg_stat_statements_reset()");
  std::this_thread::sleep_for(std::chrono::seconds(seconds));
  const auto of_role = [&](const std::string& role) {
    return fleet.psql(fmt::format(
        "select (select round(sum(calls) / {0}.0, 1) from pg_stat_statements s join pg_roles r on r.oid = s.userid "
        "where toplevel and rolname like '{1}') || ' statements/s, ' || (select round((sum(total_exec_time + "
        "total_plan_time) / {0})::numeric, 1) from pg_stat_statements s join pg_roles r on r.oid = s.userid where "
        "toplevel "
        "and rolname like '{1}') || ' ms/s in the server, ' || (select count(*) from pg_stat_activity where usename "
        "like "
        "'{1}' and datname = current_database()) || ' connections'",
        seconds, role));
  };
  fmt::print("\none idle agent: {}, {:.0f} MiB resident\none idle coordinator: {}, {:.0f} MiB resident\n",
             of_role("fleet_bench_real_agent-0"), test::resident_mib(fleet.agents[0]->process.pid()),
             of_role("coordinator"), test::resident_mib(fleet.coordinators[0]->pid()));
}

bool parse(int argc, char** argv, bench_options& into) {
  const std::map<std::string, int*> known{
      {"--instances", &into.instances}, {"--voters", &into.voters}, {"--seconds", &into.seconds}};
  for (int i = 1; i < argc; i += 2) {
    const auto found = known.find(argv[i]);
    if (found == known.end() || i + 1 == argc) return false;
    const std::string text = argv[i + 1];
    const auto end = text.data() + text.size();
    if (std::from_chars(text.data(), end, *found->second).ptr != end) return false;
  }
  return into.instances >= 1 && into.instances <= 9'999 && into.voters >= 1 && into.voters <= into.instances &&
         into.seconds >= 1 && into.seconds <= 60;
}

bool measure(const bench_options& options) {
  bench_run run(options);
  fmt::print(
      "| {} idle instances | statements/s | commits/s | PostgreSQL CPU | agents' CPU | coordinator CPU | coordinator "
      "memory | connections |\n|---|---:|---:|---:|---:|---:|---:|---:|\n",
      options.instances);
  bool right = run.idle_and_broadcast(true);
  right = run.idle_and_broadcast(false) && right;
  // Polling first: where being told is too much for the machine, what that leaves behind must not be counted in the
  // other.
  right = run.decide(false) && right;
  right = run.decide(true) && right;
  run.print_rest();
  print_real_daemons(options.seconds);
  return right;
}

}  // namespace

int main(int argc, char** argv) {
  bench_options options;
  if (!parse(argc, argv, options)) {
    fmt::print(stderr, "usage: fleet_bench [--instances N] [--voters N] [--seconds N]\n");
    return 2;
  }
  ::setenv("FLEET_TEST_FSYNC", "1", 1);
  const auto settings =
      fmt::format("shared_preload_libraries=pg_stat_statements;max_connections={}", options.instances + 100);
  ::setenv("FLEET_TEST_SETTINGS", settings.c_str(), 1);
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  // Caught, so that the daemons end with this: an uncaught exception runs no destructor.
  try {
    return measure(options) ? 0 : 1;
  } catch (const std::exception& error) {
    fmt::print(stderr, "fleet_bench: {}\n", error.what());
    return 1;
  }
}
