// Operators set the bounds of an agent type, and the whole fleet has them.
#include <catch2/catch.hpp>

#include "tests/support/daemons.hpp"

using namespace fleet::test;

TEST_CASE(
    "profiles: what an operator sets is held, told to every instance, and on record; a mistyped bound is refused") {
  daemon_fleet fleet({.name = "profiles", .agents = 1});
  auto& agent = fleet.agent(0);
  const auto cli = [&](const std::string& arguments, const std::string& input) {
    return shell("printf '%s' '" + input + "' | PGFLOW_DATABASE_URL='" + fleet.database_url + "' '" +
                 daemon_binary("centralcloud_daemon") + "' profiles " + arguments + " 2>&1; echo \"exit $?\"");
  };
  CHECK_THAT(cli("set BugFixerAgent -", R"({"error_threshold":0.05,"observation_window_seconds":7})"),
             Catch::Contains("every instance is told") && Catch::EndsWith("exit 0"));
  const auto told = wait_until([&] {
    const auto answer = agent.call("GET", "/v1/safety-profiles/BugFixerAgent");
    return answer.status == 200 &&
           boost::json::serialize(answer.body).find("\"observation_window_seconds\":7") != std::string::npos;
  });
  INFO(fleet.logs());
  CHECK(told);
  CHECK_THAT(cli("--json", ""), Catch::Contains(R"("agent_type": "BugFixerAgent")") && Catch::Contains("\"operator\""));
  CHECK(fleet.psql("select actor || ' ' || (detail ->> 'agent_type') from centralcloud.audit_log where action = "
                   "'safety_profile_update'") == "operator (command line) BugFixerAgent");
  // As a whole: what is not named any more is no bound any more.
  CHECK_THAT(cli("set BugFixerAgent -", R"({"error_threshold":0.04})"), Catch::EndsWith("exit 0"));
  CHECK(fleet.psql("select profile::text from centralcloud.safety_profile") == R"({"error_threshold": 0.04})");

  CHECK_THAT(cli("set BugFixerAgent -", R"({"error_treshold":0.05})"),
             Catch::Contains("safety_profile.error_treshold") && Catch::EndsWith("exit 2"));
  CHECK_THAT(cli("set BugFixerAgent -", R"({"error_threshold":5})"),
             Catch::Contains("error_threshold") && Catch::EndsWith("exit 2"));
  CHECK_THAT(cli("set BugFixerAgent -", "nonsense"), Catch::EndsWith("exit 2"));
  CHECK_THAT(cli("set BugFixerAgent no-such-file", ""), Catch::Contains("no-such-file") && Catch::EndsWith("exit 2"));
  CHECK(fleet.psql("select count(*) from centralcloud.audit_log where action = 'safety_profile_update'") == "2");
}
