// Several coordinators on one database, each of them killed or stopped in the middle of votes and watches.
#include <fmt/format.h>
#include <signal.h>

#include <boost/json/parse.hpp>
#include <catch2/catch.hpp>

#include "tests/support/daemons.hpp"
#include "tests/support/run.hpp"

using namespace fleet::test;
using namespace std::chrono_literals;

namespace {

std::string propose(agent_process& agent, const boost::json::object& proposal) {
  const auto answer = agent.call("POST", "/v1/proposals", proposal);
  REQUIRE(answer.status == 201);
  return std::string(answer.body.at("proposal_id").as_string());
}

std::string joined(const std::vector<std::string>& ids) {
  std::string list;
  for (const auto& id : ids) list += (list.empty() ? "'" : ",'") + id + "'";
  return list;
}

}  // namespace

TEST_CASE("coordinators: three at work, one after the other killed or stopped; each thing is done once") {
  daemon_fleet fleet({.name = "three_coordinators",
                      .coordinators = 3,
                      .agent_settings = {{"execution.observation_window_seconds", "2"}, {"log.level", "info"}},
                      .coordinator_settings = {{"log.level", "info"}}});
  constexpr std::size_t good = 12;
  std::vector<std::string> ids;
  std::size_t turn = 0;
  const auto disturb = [&] {
    const auto which = turn % 3;
    auto& victim = *fleet.coordinators[which];
    // Every third is asked to stop: what it has in hand costs no message an attempt. (A signal that comes before the
    // program hears any just ends it.)
    if (which == 2) {
      CHECK(wait_until([&] { return fleet.coordinator_ready(which); }));
      victim.send(SIGTERM);
      CHECK(victim.wait() == 0);
    } else {
      victim.kill9();
    }
    victim.start();
    ++turn;
  };
  for (std::size_t i = 0; i < good; ++i) {
    ids.push_back(propose(fleet.agent(1 + i % 2), proposal_of({{fmt::format("file-{}.txt", i), "x\n"}})));
    if (i % 2 == 1) disturb();
  }
  // On the instance where nothing else is watched: whatever is there breaches as well.
  const auto harmful =
      propose(fleet.agent(0), proposal_of({{"metrics.json", R"({"error_rate": 0.5, "success_rate": 0.99})"}}));
  const auto confirmed = [&] {
    return fleet.psql(
        "select count(*) from centralcloud.proposals where change_state = 'confirmed' and proposal_id in (" +
        joined(ids) + ")");
  };
  // Long enough for a coordinator to have begun with something.
  auto next = std::chrono::steady_clock::now();
  const auto all_done = [&] {
    if (std::chrono::steady_clock::now() >= next) {
      disturb();
      next = std::chrono::steady_clock::now() + 500ms * patience();
    }
    return confirmed() == std::to_string(good) && fleet.agent(0).status_of(harmful) == "rolled_back";
  };
  const bool done = wait_until(all_done, 60s);
  INFO(confirmed() << " confirmed; steps of the others:\n"
                   << fleet.psql(
                          "select s.* from centralcloud.step s join centralcloud.proposals p using (proposal_id) where "
                          "p.status not in ('confirmed', 'rolled_back') order by step_id")
                   << "\n"
                   << fleet.logs());
  REQUIRE(done);
  CHECK(turn >= 9);
  const auto all = std::to_string(good + 1);
  CHECK(fleet.psql("select count(*), count(distinct proposal_id) from centralcloud.decision") == all + "|" + all);
  const auto published = [&](const std::string& queue) {
    return fleet.psql("select published_total from quantumflow.get_queue_stats('" + queue + "')");
  };
  CHECK(published("voting_requests_queue") == all);
  CHECK(published("consensus_results_queue") == all);
  CHECK(published("rollback_triggers_queue") == "1");
  // Of each step there is one: opened, decided, watched, confirmed.
  CHECK(fleet.psql(
            "select coalesce(max(n), 0) from (select count(*) as n from centralcloud.step where state in ('received', "
            "'voting', 'approved', 'watching', 'confirmed', 'rollback_triggered') group by proposal_id, state) s") ==
        "1");
  CHECK(fleet.psql("select count(*) from quantumflow.list_dlq_messages()") == "0");
  CHECK(fleet.lines_of("message_failed") == "");  // no message was charged an attempt
  const auto verified = shell("'" + daemon_binary("centralcloud_daemon") + "' audit verify --json --database.url '" +
                              fleet.database_url + "'");
  CHECK(boost::json::parse(verified).at("intact") == true);
}
