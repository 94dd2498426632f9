// A fleet whose daemons reach the database through PgBouncer as deploy/high_availability.md sets it up: the whole loop
// works, with a few server connections.
#include <catch2/catch.hpp>

#include "tests/support/daemons.hpp"
#include "tests/support/pgbouncer.hpp"
#include "tests/support/private_postgres.hpp"

using namespace fleet::test;
using settings_map = std::map<std::string, std::string>;

namespace {

const std::string as_the_page_says = FLEET_SOURCE_DIR "/deploy/high_availability.md";

std::string propose(agent_process& agent, const boost::json::object& proposal) {
  const auto answer = agent.call("POST", "/v1/proposals", proposal);
  REQUIRE(answer.status == 201);
  return std::string(answer.body.at("proposal_id").as_string());
}

/// Sessions with a sleeper's flag, which outlives a transaction: what a pooler cannot carry.
std::string sleeping_sessions(const daemon_fleet& fleet) {
  return fleet.psql(
      "select count(distinct pid) from pg_locks where locktype = 'advisory' and mode = 'ExclusiveLock' "
      "and classid = quantumflow.wake_lock_class() "
      "and database = (select oid from pg_database where datname = current_database())");
}

void decide_and_roll_back(daemon_fleet& fleet) {
  const auto id = propose(fleet.agent(0), proposal_of({{"metrics.json", R"({"success_rate": 0.5})"}}));
  const bool rolled_back = wait_until([&] { return fleet.agent(0).status_of(id) == "rolled_back"; });
  INFO(fleet.logs());
  REQUIRE(rolled_back);
  CHECK(fleet.psql("select count(*), min(rule) from centralcloud.decision") == "1|consensus");
  CHECK(fleet.psql("select count(*) from centralcloud.vote where counted") == "3");
  CHECK(fleet.psql("select count(*) from quantumflow.list_dlq_messages()") == "0");
}

}  // namespace

TEST_CASE("pooler: a fleet behind PgBouncer decides and rolls back by polling, told or finding out by itself") {
  const bool told = GENERATE(true, false);
  const pgbouncer between(private_postgres::shared(), as_the_page_says);
  const settings_map listen{{"database.listen_url", told ? "none" : ""}};
  daemon_fleet fleet({.name = told ? "pooler_told" : "pooler_found",
                      .agent_settings = listen,
                      .coordinator_settings = listen,
                      .route = [&](const std::string& url) { return between.route(url); }});
  decide_and_roll_back(fleet);
  CHECK(sleeping_sessions(fleet) == "0");
  // Two a role: three agents and the coordinator.
  const auto sessions = fleet.psql(
      "select count(*) from pg_stat_activity where datname = current_database() "
      "and usename not in ('postgres', 'pgbouncer')");
  CHECK(std::stoi(sessions) <= 4 * 2);
  const bool said = fleet.coordinators[0]->log().find("polling_queues") != std::string::npos;
  CHECK(said != told);
}

TEST_CASE("pooler: with a listen_url of its own a fleet behind PgBouncer is told of new messages") {
  const pgbouncer between(private_postgres::shared(), as_the_page_says);
  daemon_fleet fleet({.name = "pooler_listen",
                      .route = [&](const std::string& url) { return between.route(url); },
                      .listen_directly = true});
  decide_and_roll_back(fleet);
  CHECK(wait_until([&] { return sleeping_sessions(fleet) == "4"; }));
}
