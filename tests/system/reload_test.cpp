// SIGHUP: what changes while the coordinator runs, what waits, and what a bad file does.
#include <fmt/format.h>
#include <signal.h>

#include <catch2/catch.hpp>
#include <fstream>

#include "tests/support/daemons.hpp"

using namespace fleet::test;
using namespace std::chrono_literals;

namespace {

class reloaded {
 public:
  explicit reloaded(daemon_fleet& fleet)
      : coordinator_(*fleet.coordinators[0]), file_(fleet.directory + "/coordinator-0/coordinator.ini") {}

  /// Replaces a line of the file, and waits until the daemon has said what it makes of it.
  void set(const std::string& from, const std::string& to) {
    shell(fmt::format("grep -q '^{0}$' '{2}' && sed -i 's/^{0}$/{1}/' '{2}'", from, to, file_));
    const auto before = lines();
    coordinator_.send(SIGHUP);
    const bool told = wait_until([&] { return lines() > before; });
    INFO(coordinator_.log());
    REQUIRE(told);
  }
  bool says(const std::string& text) const { return coordinator_.log().find(text) != std::string::npos; }

 private:
  std::ptrdiff_t lines() const {
    const auto log = coordinator_.log();
    std::ptrdiff_t found = 0;
    for (auto at = log.find(" reload: "); at != std::string::npos; at = log.find(" reload: ", at + 1)) ++found;
    return found;
  }
  daemon_process& coordinator_;
  std::string file_;
};

std::string propose(agent_process& agent, const std::string& file) {
  const auto answer = agent.call("POST", "/v1/proposals", proposal_of({{file, "x\n"}}));
  REQUIRE(answer.status == 201);
  return std::string(answer.body.at("proposal_id").as_string());
}

}  // namespace

TEST_CASE("reload: rules and worker counts change, other settings wait, and a bad file changes nothing") {
  daemon_fleet fleet({.name = "reload",
                      .agents = 1,
                      .coordinator_settings = {{"log.level", "info"},
                                               {"consensus.min_votes", "2"},
                                               {"consensus.voters_wait_ms", "0"},
                                               {"consensus.voting_timeout_ms", "600000"},
                                               {"queue.votes_for_consensus_queue.workers", "1"},
                                               {"database.pool_size", "4"}}});
  auto& agent = fleet.agent(0);
  reloaded config(fleet);
  const auto metrics = [&](const std::string& part) {
    return shell("curl -s http://" + fleet.coordinator_addresses[0] + "/metrics | grep -c '" + part + "' || true");
  };
  const auto decided = [&](const std::string& id) {
    return fleet.psql("select coalesce(max(rule), '-') from centralcloud.decision where proposal_id = '" + id + "'");
  };
  // One voter, two votes needed: undecided.
  const auto before = propose(agent, "before.txt");
  CHECK(wait_until([&] { return fleet.psql("select count(*) from centralcloud.vote where counted") == "1"; }));
  CHECK(decided(before) == "-");
  config.set("min_votes = 2", "min_votes = 1");
  CHECK(config.says("consensus.min_votes"));
  const auto noted = [&] {
    return fleet.psql("select detail -> 'changes' ->> 0 from centralcloud.audit_entries where action = 'reload'");
  };
  CHECK(wait_until([&] { return noted() == R"({"key": "consensus.min_votes", "after": "1", "before": "2"})"; }));
  const auto after = propose(agent, "after.txt");
  CHECK(wait_until([&] { return decided(after) == "consensus"; }));

  CHECK(metrics("votes_for_consensus_queue/3") == "0");
  config.set("votes_for_consensus_queue.workers = 1", "votes_for_consensus_queue.workers = 4");
  CHECK(wait_until([&] { return metrics("votes_for_consensus_queue/3") == "1"; }));
  config.set("votes_for_consensus_queue.workers = 4", "votes_for_consensus_queue.workers = 1");
  const auto with_one_again = propose(agent, "one.txt");
  CHECK(wait_until([&] { return decided(with_one_again) == "consensus"; }));

  config.set("pool_size = 4", "pool_size = 5");
  CHECK(config.says("left alone until the next start"));
  CHECK_FALSE(config.says("is not taken"));
  config.set("min_votes = 1", "min_votes = many");
  CHECK(config.says("the new configuration is not taken"));
  CHECK(config.says("consensus.min_votes"));
  const auto under_the_old = propose(agent, "old.txt");
  CHECK(wait_until([&] { return decided(under_the_old) == "consensus"; }));
  CHECK(fleet.coordinator_ready());
}
