#include "tests/bench/load_bench/load.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <chrono>
#include <stdexcept>
#include <thread>

#include "common/http/client.hpp"
#include "tests/support/private_postgres.hpp"
#include "tests/support/process_cost.hpp"

namespace fleet::bench {

namespace {

/// An agent answers 256 connections at once; what is more waits here for its turn.
constexpr int connections_an_agent = 240;

double now_seconds() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

/// What the processes of each kind have used since they began.
std::map<std::string, double> cpu_of(const test::daemon_fleet& fleet) {
  double agents = 0;
  for (const auto& each : fleet.agents) agents += test::cpu_seconds(each->process.pid());
  return {{"PostgreSQL", test::cpu_seconds(test::private_postgres::shared().pid())},
          {"coordinator", test::cpu_seconds(fleet.coordinators[0]->pid())},
          {"three agents and their git", agents}};
}

std::int64_t commits_of(const test::daemon_fleet& fleet) {
  return std::stoll(
      fleet.psql("select pg_stat_clear_snapshot(); "
                 "select xact_commit from pg_stat_database where datname = current_database()"));
}

/// Hands in one after the other, so many of these at once.
class submitter {
 public:
  submitter(test::daemon_fleet& fleet, load_run& run) : fleet_(fleet), run_(run), next_(fleet.agents.size(), 0) {}

  void start(boost::asio::io_context& io) {
    const auto agents = fleet_.agents.size();
    for (std::size_t agent = 0; agent < agents; ++agent) {
      const int share = share_of(agent);
      for (int n = 0; n < std::min(share, connections_an_agent); ++n)
        boost::asio::co_spawn(io, submit(agent), [this](std::exception_ptr thrown) { keep(thrown); });
    }
  }
  const std::exception_ptr& failure() const { return failure_; }

 private:
  int share_of(std::size_t agent) const {
    const auto agents = static_cast<int>(fleet_.agents.size());
    return run_.proposals / agents + (static_cast<int>(agent) < run_.proposals % agents ? 1 : 0);
  }
  void keep(const std::exception_ptr& thrown) {
    if (thrown) failure_ = thrown;
  }

  boost::asio::awaitable<void> submit(std::size_t agent) {
    while (next_[agent] < share_of(agent)) {
      const auto file = "file-" + std::to_string(next_[agent]++) + ".txt";
      http::client_request request;
      request.to.unix_socket = fleet_.agent(agent).socket;
      request.method = "POST";
      request.target = "/v1/proposals";
      request.body = boost::json::serialize(test::proposal_of({{file, "x\n"}}));
      request.timeout = std::chrono::seconds(60);
      const auto sent = now_seconds();
      const auto response = co_await http::call(std::move(request));
      const auto answered = now_seconds();
      if (!response || response->status != 201)
        throw std::runtime_error("a proposal was refused: " + (response ? response->body : response.error().message));
      const std::string id(boost::json::parse(response->body).at("proposal_id").as_string());
      run_.sent_at[id] = sent;
      run_.answered_at[id] = answered;
      run_.agents[id] = agent;
    }
  }

  test::daemon_fleet& fleet_;
  load_run& run_;
  std::vector<int> next_;
  std::exception_ptr failure_;
};

/// Asked once a second only: what asks takes processor from what is measured.
void wait_until_settled(const test::daemon_fleet& fleet, int proposals) {
  const auto limit = std::chrono::seconds(60) + proposals * std::chrono::milliseconds(500);
  const auto deadline = std::chrono::steady_clock::now() + limit;
  const auto open = [&] {
    return fleet.psql(
        "select (select count(*) from singularity.proposal where status <> 'applied') + "
        "(select count(*) from singularity.proposal p where not exists (select from centralcloud.sample s "
        "  where s.proposal_id = p.proposal_id and s.status = 'applied'))");
  };
  for (std::string left = "?"; left != "0"; left = open()) {
    if (std::chrono::steady_clock::now() > deadline)
      throw std::runtime_error("not settled in time, open: " + left + "\n" + fleet.logs());
    std::this_thread::sleep_for(std::chrono::seconds(1));
  }
}

}  // namespace

std::unique_ptr<test::daemon_fleet> make_fleet(const std::string& name) {
  test::fleet_options options;
  options.name = name;
  options.agent_settings = {{"log.level", "info"},
                            {"instance.heartbeat_ms", "2000"},
                            {"execution.observation_window_seconds", "600"},
                            {"metrics.interval_ms", "10000"}};
  options.coordinator_settings = {{"log.level", "info"},
                                  {"instances.heartbeat_timeout_ms", "10000"},
                                  {"guardian.observation_window_seconds", "600"},
                                  {"consensus.voting_timeout_ms", "300000"}};
  return std::make_unique<test::daemon_fleet>(options);
}

load_run run_load(test::daemon_fleet& fleet, int proposals) {
  load_run run;
  run.proposals = proposals;
  const auto cpu_before = cpu_of(fleet);
  const auto commits_before = commits_of(fleet);
  boost::asio::io_context io;
  submitter all(fleet, run);
  all.start(io);
  io.run();
  if (all.failure()) std::rethrow_exception(all.failure());
  wait_until_settled(fleet, proposals);
  run.settled_at = now_seconds();
  run.commits = commits_of(fleet) - commits_before;
  for (const auto& [who, seconds] : cpu_of(fleet)) run.cpu_seconds[who] = seconds - cpu_before.at(who);
  return run;
}

}  // namespace fleet::bench
