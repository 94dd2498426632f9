// SIGHUP: what changes while a daemon runs, what waits, and what a bad file does.
#include <fmt/format.h>
#include <signal.h>

#include <algorithm>
#include <boost/json/parse.hpp>
#include <catch2/catch.hpp>
#include <fstream>
#include <map>
#include <vector>

#include "tests/support/daemons.hpp"

using namespace fleet::test;
using namespace std::chrono_literals;

namespace {

class reloaded {
 public:
  explicit reloaded(daemon_fleet& fleet)
      : reloaded(*fleet.coordinators[0], fleet.directory + "/coordinator-0/coordinator.ini") {}
  explicit reloaded(agent_process& agent) : reloaded(agent.process, agent.directory + "/agent.ini") {}

  /// Replaces a line of the file, and waits until the daemon has said what it makes of it.
  void set(const std::string& from, const std::string& to) {
    shell(fmt::format("grep -q '^{0}$' '{2}' && sed -i 's/^{0}$/{1}/' '{2}'", from, to, file_));
    reload();
  }
  void reload() {
    const auto before = lines();
    daemon_.send(SIGHUP);
    const bool told = wait_until([&] { return lines() > before; });
    INFO(daemon_.log());
    REQUIRE(told);
  }
  bool says(const std::string& text) const { return daemon_.log().find(text) != std::string::npos; }
  const std::string& file() const { return file_; }

 private:
  reloaded(daemon_process& daemon, std::string file) : daemon_(daemon), file_(std::move(file)) {}
  std::ptrdiff_t lines() const {
    const auto log = daemon_.log();
    std::ptrdiff_t found = 0;
    for (auto at = log.find(" reload: "); at != std::string::npos; at = log.find(" reload: ", at + 1)) ++found;
    return found;
  }
  daemon_process& daemon_;
  std::string file_;
};

std::string propose(agent_process& agent, const std::string& file) {
  const auto answer = agent.call("POST", "/v1/proposals", proposal_of({{file, "x\n"}}));
  REQUIRE(answer.status == 201);
  return std::string(answer.body.at("proposal_id").as_string());
}

/// Another value of a setting that a daemon takes as well; empty where none is known.
std::string other_value(const std::string& key, const std::string& value) {
  static const std::map<std::string, std::string> by_hand = {
      {"log.level", "warning"},
      {"log.format", "json"},
      {"consensus.approval_ratio", "3/4"},
      {"guardian.rules", "success_rate < 0.8 high 2"},
      {"guardian.metrics_missing_action", "roll_back"},
      {"alerts.command", "cat"},
      {"alerts.webhook_url", "http://127.0.0.1:9/"},
      {"voter.mode", "manual"},
      {"voter.denied_paths", "/secret/"},
      {"executor.verify_command", "true"},
      {"metrics.command", "cat service.json"},
  };
  if (const auto known = by_hand.find(key); known != by_hand.end()) return known->second;
  if (value == "true") return "false";
  if (value == "false") return "true";
  if (value.empty() || value.find_first_not_of("0123456789.") != std::string::npos) return {};
  if (value.find('.') == std::string::npos) return std::to_string(std::stol(value) + 1);
  return std::count(value.begin(), value.end(), '.') == 1 ? value + "1" : std::string();
}

struct changed_settings {
  std::vector<std::string> taken;
  std::vector<std::string> left;
};

/// Writes the file of a daemon anew, with another value for every setting that has one; which those are.
changed_settings change_all(const std::string& program, const std::string& file) {
  const auto effective = shell(fmt::format("'{}' check-config --json --config '{}'", daemon_binary(program), file));
  changed_settings changed;
  std::string text;
  const auto rows = boost::json::parse(effective);
  for (const auto& each : rows.as_array()) {
    const auto& row = each.as_object();
    const std::string key(row.at("key").as_string());
    const bool reloadable = row.at("reloadable").as_bool();
    auto value = other_value(key, std::string(row.at("value").as_string()));
    if (value.empty()) {
      INFO(key);
      CHECK_FALSE(reloadable);
      continue;
    }
    (reloadable ? changed.taken : changed.left).push_back(key);
    text += fmt::format("[{}]\n{} = {}\n", key.substr(0, key.rfind('.')), key.substr(key.rfind('.') + 1), value);
  }
  // What has no other value here is as it was: where to, and who.
  const auto kept =
      shell("grep -E '^(\\[(database|instance|http|api|executor)\\]|(url|id|listen|socket|repository|mode) =)' '" +
            file + "'");
  std::ofstream(file) << kept << "\n" << text;
  return changed;
}

void check_all_settings(const std::string& program, reloaded daemon) {
  const auto changed = change_all(program, daemon.file());
  CHECK(changed.taken.size() > 15);
  CHECK(changed.left.size() > 15);
  daemon.reload();
  for (const auto& key : changed.taken) {
    INFO(key);
    CHECK(wait_until([&] { return daemon.says("reload: changed key=" + key + " "); }, 2s));
  }
  for (const auto& key : changed.left) {
    INFO(key);
    CHECK(wait_until([&] { return daemon.says("reload: left alone until the next start key=" + key + " "); }, 2s));
  }
}

}  // namespace

TEST_CASE("reload: every setting that can change while running is taken over, and every other is left and said") {
  daemon_fleet fleet({.name = "reload_all", .agents = 1});
  check_all_settings("centralcloud_daemon", reloaded(fleet));
  check_all_settings("singularity_agent", reloaded(fleet.agent(0)));
  CHECK(fleet.coordinator_ready());
  CHECK(fleet.agent(0).ready());
}

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

TEST_CASE("reload: the Guardian's rules, bounds of alerts and the level of the log hold from then on") {
  daemon_fleet fleet({.name = "reload_guardian",
                      .agents = 1,
                      .coordinator_settings = {{"log.level", "info"},
                                               {"consensus.min_votes", "1"},
                                               {"guardian.rules", "success_rate < 0.1 critical 1"},
                                               {"metrics.sample_interval_ms", "100"},
                                               {"alerts.dlq_messages", "10"}}});
  auto& agent = fleet.agent(0);
  reloaded config(fleet);
  const auto poor = [&](int version) {
    const auto metrics = fmt::format(R"({{"success_rate": 0.5, "version": {}}})", version);
    return std::string(agent.call("POST", "/v1/proposals", proposal_of({{"metrics.json", metrics}}))
                           .body.at("proposal_id")
                           .as_string());
  };
  const auto before = poor(1);
  const auto change = "select state from centralcloud.change where proposal_id = '" + before + "'";
  CHECK(wait_until([&] { return fleet.psql(change) == "confirmed"; }));
  config.set("rules = success_rate < 0.1 critical 1", "rules = success_rate < 0.9 critical 1");
  const auto after = poor(2);
  CHECK(wait_until([&] { return agent.status_of(after) == "rolled_back"; }));

  fleet.psql("select quantumflow.publish('votes_for_consensus_queue', '{\"type\": \"vote\", \"proposal_id\": \"x\"}')");
  CHECK(wait_until([&] { return fleet.psql("select count(*) from quantumflow.list_dlq_messages()") == "1"; }));
  const auto alerts = [&] { return fleet.psql("select count(*) from centralcloud.alert where name = 'dead_letters'"); };
  CHECK(alerts() == "0");
  config.set("dlq_messages = 10", "dlq_messages = 0");
  CHECK(wait_until([&] { return alerts() == "1"; }));

  CHECK_FALSE(config.says(" debug "));
  config.set("level = info", "level = debug");
  CHECK(wait_until([&] {
    fleet.coordinator_ready();
    return config.says(" debug ");
  }));
}

TEST_CASE("reload: the front page counts instances as long as their messages are kept") {
  daemon_fleet fleet(
      {.name = "reload_expiry", .agents = 1, .coordinator_settings = {{"queue.instance_expiry_hours", "1"}}});
  reloaded config(fleet);
  fleet.psql("select centralcloud.heartbeat('long-gone', '1', '{voter}')");
  fleet.psql(
      "update centralcloud.instance set last_seen_at = now() - interval '2 hours' where instance_id = 'long-gone'");
  const auto registered = [&] {
    const auto text = shell("curl -s http://" + fleet.coordinator_addresses[0] + "/v1/overview");
    return boost::json::parse(text).at("instances").at("registered").to_number<int>();
  };
  CHECK(wait_until([&] { return registered() == 1; }));
  config.set("instance_expiry_hours = 1", "instance_expiry_hours = 3");
  CHECK(registered() == 2);
}

TEST_CASE("reload: an agent's policy votes by its new bounds, and a bad file changes nothing") {
  daemon_fleet fleet({.name = "reload_policy",
                      .agents = 1,
                      .agent_settings = {{"voter.max_risk_score", "8"}},
                      .coordinator_settings = {{"consensus.min_votes", "1"}}});
  auto& agent = fleet.agent(0);
  reloaded config(agent);
  const auto vote_on = [&](const std::string& id) {
    const auto ask = "select coalesce(max(vote), '-') from centralcloud.vote where proposal_id = '" + id + "'";
    CHECK(wait_until([&] { return fleet.psql(ask) != "-"; }));
    return fleet.psql(ask);
  };
  CHECK(vote_on(propose(agent, "before.txt")) == "approve");
  config.set("max_risk_score = 8", "max_risk_score = 1");
  CHECK(vote_on(propose(agent, "after.txt")) == "reject");
  config.set("max_risk_score = 1", "max_risk_score = 11");
  CHECK(config.says("the new configuration is not taken"));
  CHECK(vote_on(propose(agent, "still.txt")) == "reject");
  CHECK(agent.ready());
}
