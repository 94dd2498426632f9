// Rollbacks whose change is taken back, and what comes after it.
#include <catch2/catch.hpp>

#include "tests/integration/singularity/agent_fixture.hpp"

using namespace fleet;
using test::agent_fixture;

namespace {

const std::string failure = "select failure from singularity.proposal";
const std::string outcomes =
    "select string_agg(s ->> 'name' || ':' || (s ->> 'outcome'), ' ' order by n) "
    "from singularity.rollback, jsonb_array_elements(steps) with ordinality as e(s, n)";

/// A change that is applied and is to be taken back; the strategy is revert_code, clear_cache.
struct to_be_taken_back : agent_fixture {
  to_be_taken_back(const std::string& database, const std::string& clear_cache, const std::string& verify = "true")
      : agent_fixture(database, verify) {
    before = git.tree();
    step_commands["clear_cache"] = clear_cache;
    make_flow();
    approve("p1");
    REQUIRE(execute());
    handle(trigger("p1"));
  }
  std::string before;
};

}  // namespace

TEST_CASE("rollback_worker: a step that fails after the revert makes the rollback fail, and the revert stands") {
  to_be_taken_back with("agent_rollback_step_fails", "echo the cache is locked >&2; exit 7");
  REQUIRE(with.roll_back());
  CHECK(with.status("p1") == "rollback_failed");
  CHECK(with.git.tree() == with.before);
  CHECK(with.ask(outcomes) == "revert_code:done clear_cache:failed verify:done");
  const auto why = with.ask(failure);
  CHECK_THAT(why, Catch::StartsWith("reverted, but step clear_cache failed: exit code 7"));
  CHECK_THAT(why, Catch::EndsWith("the cache is locked"));
  CHECK(with.ask("select cause from singularity.proposal_step where to_state = 'rollback_failed'") ==
        "error_rate_breach: " + why);
  CHECK(with.ask("select state from singularity.rollback") == "failed");
  with.report_all();
  CHECK(with.ask("select payload ->> 'status' from quantumflow.list_pending_messages('metrics_to_guardian_queue') "
                 "order by message_id desc limit 1") == "rollback_failed");
  CHECK(with.events.counted(telemetry::event::rollback_failed) == 1);
}

TEST_CASE("rollback_worker: a verification that fails after the revert says that the revert stands") {
  to_be_taken_back with("agent_rollback_verify_fails", "true", "grep -q two b.txt");
  REQUIRE(with.roll_back());
  CHECK(with.status("p1") == "rollback_failed");
  CHECK(with.git.tree() == with.before);
  CHECK_THAT(with.ask(failure), Catch::StartsWith("reverted, but step verify failed: exit code 1"));
}

TEST_CASE("rollback_worker: a change that could not be taken back says so, and which later steps were left out") {
  to_be_taken_back with("agent_rollback_not_reverted", "true");
  with.approve("p2", "three\\n");
  REQUIRE(with.execute());
  REQUIRE(with.roll_back());
  CHECK(with.status("p1") == "rollback_failed");
  CHECK_THAT(with.ask(failure + " where proposal_id = 'p1'"),
             Catch::StartsWith("not reverted: ") && Catch::Contains("b.txt"));
}
