#include "common/quantumflow/waker.hpp"

#include <catch2/catch.hpp>

#include "tests/integration/quantumflow/queue_fixture.hpp"

using namespace fleet;
using namespace fleet::test;

TEST_CASE("waker: a session that may LISTEN but gets nothing is found out, and sleeps are short then") {
  queue_fixture fleet("waker_deaf");
  // As behind a transaction pooler: LISTEN is taken, and what is sent arrives somewhere else. Here, another database.
  auto elsewhere = fleet.settings();
  elsewhere.url = fleet_database("waker_elsewhere");
  std::vector<bool> states;
  quantumflow::waker deaf(fleet.io.get_executor(), elsewhere, [&](bool up) { states.push_back(up); });
  const auto listening = fleet.listen_here(deaf);
  run_until(fleet.io, [&] { return states.size() == 2; });
  CHECK(states == std::vector<bool>{true, false});
  CHECK_FALSE(deaf.listening());

  const auto began = std::chrono::steady_clock::now();
  auto asleep =
      deaf.sleep("proposals_for_consensus_queue", "centralcloud", std::chrono::minutes(5), fleet.stop.token());
  run(fleet.io, std::move(asleep));
  CHECK(std::chrono::steady_clock::now() - began < std::chrono::seconds(30));
}

TEST_CASE("waker: one that hears stays as it is") {
  queue_fixture fleet("waker_hears");
  std::vector<bool> states;
  quantumflow::waker hearing(fleet.io.get_executor(), fleet.settings(), [&](bool up) { states.push_back(up); });
  const auto listening = fleet.listen_here(hearing);
  run_until(fleet.io, [&] { return hearing.listening(); });
  // The proof's notification is on its channel; wait until one was sent and came.
  const auto seen = [&] {
    return fleet.psql("select count(*) from pg_stat_activity where query like 'select pg_notify%'") != "0";
  };
  run_until(fleet.io, seen);
  CHECK(hearing.listening());
  CHECK(states == std::vector<bool>{true});
}
