// Who listens: PostgreSQL wakes every listening session for every notification, so each one too many costs the fleet.
#include <catch2/catch.hpp>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>

#include "tests/support/daemons.hpp"
#include "tests/support/private_postgres.hpp"

using namespace fleet::test;

namespace {

/// The processes of the server that have run a LISTEN: pg_listening_channels() tells each session of its own only, so
/// the log of statements does.
std::set<std::string> listening_processes() {
  static const std::regex listen(R"(\[(\d+)\] LOG:  (statement|execute [^:]*): listen )", std::regex::icase);
  std::set<std::string> found;
  std::ifstream log(private_postgres::shared().directory() + "/log");
  for (std::string line; std::getline(log, line);) {
    std::smatch match;
    if (std::regex_search(line, match, listen)) found.insert(match[1]);
  }
  return found;
}

struct sessions {
  int all = 0;
  int listening = 0;
};

/// By role: each daemon logs in as one of its own.
std::map<std::string, sessions> sessions_by_role(const daemon_fleet& fleet) {
  std::istringstream lines(
      fleet.psql("select usename, pid from pg_stat_activity where datname = current_database() "
                 "and backend_type = 'client backend' and usename <> 'postgres'"));
  const auto listening = listening_processes();
  std::map<std::string, sessions> found;
  for (std::string line; std::getline(lines, line);) {
    const auto bar = line.find('|');
    auto& of = found[line.substr(0, bar)];
    ++of.all;
    if (listening.contains(line.substr(bar + 1))) ++of.listening;
  }
  return found;
}

}  // namespace

TEST_CASE("listening: a daemon that is told of new messages has one session that LISTENs, and only one") {
  daemon_fleet fleet({.name = "listening", .start = false});
  fleet.psql("alter database listening set log_statement = 'all'");
  for (auto& each : fleet.coordinators) each->start();
  for (auto& each : fleet.agents) each->start();
  fleet.wait_ready();
  // Work for every part of them, so that each has slept and been woken.
  const auto proposed =
      fleet.agent(0).call("POST", "/v1/proposals", proposal_of({{"metrics.json", R"({"success_rate": 0.5})"}}));
  REQUIRE(proposed.status == 201);
  const std::string id(proposed.body.at("proposal_id").as_string());
  const bool rolled_back = wait_until([&] { return fleet.agent(0).status_of(id) == "rolled_back"; });
  INFO(fleet.logs());
  REQUIRE(rolled_back);

  const auto by_role = sessions_by_role(fleet);
  CHECK(by_role.size() == 4);
  int all = 0;
  for (const auto& [role, counted] : by_role) {
    INFO(role << ": " << counted.listening << " of " << counted.all);
    CHECK(counted.listening == 1);
    all += counted.all;
  }
  CHECK(all > 4);  // there are others, which do not
}

TEST_CASE("listening: a daemon that is told to poll has no gauge of LISTEN, which would be an alert for ever") {
  daemon_fleet fleet({.name = "listening_none", .agents = 1, .agent_settings = {{"database.listen_url", "none"}}});
  const auto metrics = shell("curl -s --unix-socket " + fleet.agent(0).socket + " http://agent/metrics");
  CHECK_THAT(metrics, Catch::Contains("singularity_ready 1"));
  CHECK_THAT(metrics, !Catch::Contains("\nquantumflow_listen_up "));
}
