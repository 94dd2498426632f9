// Executions whose apply step ends without a clear word on what it did.
#include <catch2/catch.hpp>

#include "singularity_agent/execution/command_executor.hpp"
#include "tests/integration/executor/git_wrapper.hpp"
#include "tests/integration/singularity/agent_fixture.hpp"

using namespace fleet;
using test::agent_fixture;
using test::git_wrapper;

namespace {

const std::string steps =
    "select string_agg(step || ':' || outcome, ',' order by step) from singularity.execution_step";
const std::string failure = "select failure from singularity.proposal";

/// An execution by a command of the operator's, which leaves a file named after each action.
struct by_command : agent_fixture {
  by_command(const std::string& database, const std::string& on_apply, const std::string& on_revert = "true",
             const async::stop_token& until = {})
      : agent_fixture(database) {
    approve("p1");
    executed = execute(on_apply, on_revert, until);
  }
  bool execute(const std::string& on_apply, const std::string& on_revert, const async::stop_token& until) {
    agent::execution::command_executor_options options;
    options.command = ": > did_$ACTION; case $ACTION in apply) " + on_apply + ";; revert) " + on_revert + ";; esac";
    options.working_directory = place.path();
    options.timeout = std::chrono::milliseconds(1000);
    agent::execution::command_executor by(io.get_executor(), options);
    agent::execution::flow_options how;
    how.undo_retries = {.max_attempts = 3, .first_pause = std::chrono::milliseconds(1)};
    agent::execution::execution_flow doing(pool, by, measure, samples, executions, wake, log, how);
    return test::run(io, doing.execute_next(until));
  }
  bool did(const std::string& action) const { return std::filesystem::exists(place.path() / ("did_" + action)); }

  test::temporary_directory place;
  bool executed = false;
};

}  // namespace

TEST_CASE("execution_flow: a change that git put in place and could not tell about is verified and watched") {
  agent_fixture with("agent_doubt_killed");
  const auto before = with.git.tree();
  with.approve("p1");
  {
    const git_wrapper killed(git_wrapper::killed_after("merge --ff-only"));
    REQUIRE(with.execute());
  }
  CHECK(with.status("p1") == "applied");
  CHECK(with.ask(steps) == "apply:done,check_profile:done,metrics_after:done,metrics_before:done,verify:done");
  CHECK(with.ask("select applied_commit from singularity.proposal") == with.git.head());
  with.handle(agent_fixture::trigger("p1"));
  REQUIRE(with.roll_back());
  CHECK(with.status("p1") == "rolled_back");
  CHECK(with.git.tree() == before);
}

TEST_CASE("execution_flow: an apply that ends in doubt is taken back, and is not tried again after a crash") {
  agent_fixture with("agent_doubt_undone");
  const auto before = with.git.head();
  with.approve("p1");
  {
    const git_wrapper broken(git_wrapper::fails("--shortstat"));
    REQUIRE(with.execute());
  }
  const auto check = [&] {
    CHECK(with.status("p1") == "failed");
    CHECK(with.git.head() == before);
    CHECK(with.git.status().empty());
    CHECK(with.ask(steps) == "apply:failed,check_profile:done,metrics_before:done,undo:done");
    CHECK_THAT(with.ask(failure), Catch::StartsWith("apply: git diff-tree failed"));
  };
  check();
  with.psql(
      "delete from singularity.execution_step where step = 'undo';"
      "update singularity.proposal set status = 'executing', ended_at = null");
  with.make_flow();
  REQUIRE(with.execute());
  check();
  CHECK(with.ask("select attempts from singularity.execution_step where step = 'apply'") == "1");
}

TEST_CASE("execution_flow: a change that may be in place and cannot be taken back is not called failed") {
  agent_fixture with("agent_doubt_stuck");
  with.approve("p1");
  {
    const git_wrapper dead(git_wrapper::when("merge --ff-only", R"("$GIT" "$@"; : > "$HERE/dead"; kill -9 $$)") +
                           R"([ -e "$HERE/dead" ] && exit 1)");
    REQUIRE(with.execute());
  }
  CHECK(with.status("p1") == "rollback_failed");
  CHECK(with.commits_of("p1") == "1");
  CHECK_THAT(with.ask(failure), Catch::Contains("ended by signal 9") && Catch::Contains("could not be undone"));
  // As if the trigger had come in the middle of it.
  with.psql("update singularity.proposal set status = 'executing'");
  with.handle(agent_fixture::trigger("p1"));
  with.psql("update singularity.proposal set status = 'rollback_failed'");
  REQUIRE(with.roll_back());
  CHECK(with.ask("select state, steps -> 0 ->> 'outcome' from singularity.rollback") == "failed|failed");
}

TEST_CASE("execution_flow: a command that is cut off half-way is told to revert; what it says itself is believed") {
  SECTION("its time is over") {
    by_command with("agent_doubt_slow", "exec sleep 30");
    REQUIRE(with.executed);
    CHECK(with.status("p1") == "failed");
    CHECK(with.did("revert"));
  }
  SECTION("it is killed") {
    by_command with("agent_doubt_signal", "kill -9 $$");
    CHECK(with.status("p1") == "failed");
    CHECK(with.did("revert"));
  }
  SECTION("what it runs is killed") {
    by_command with("agent_doubt_inner", "sh -c 'kill -9 $$' || exit $?");
    CHECK(with.status("p1") == "failed");
    CHECK(with.did("revert"));
  }
  SECTION("the revert fails, too") {
    by_command with("agent_doubt_both", "exec sleep 30", "exit 4");
    CHECK(with.status("p1") == "rollback_failed");
    CHECK_THAT(with.ask(failure), Catch::Contains("failed to revert: exit code 4"));
  }
  SECTION("it fails by its own word") {
    by_command with("agent_doubt_none", "exit 3");
    CHECK(with.status("p1") == "failed");
    CHECK_FALSE(with.did("revert"));
  }
}

TEST_CASE("execution_flow: an undo that has no answer in time is tried again, a few times, and after a stop") {
  const std::string undo_attempts =
      "select outcome || ':' || attempts from singularity.execution_step where step = 'undo'";
  SECTION("it is there the second time") {
    by_command with("agent_undo_again", "kill -9 $$", "[ -e slow ] || { : > slow; exec sleep 30; }");
    CHECK(with.status("p1") == "failed");
    CHECK(with.ask(undo_attempts) == "done:2");
  }
  SECTION("it is never there") {
    by_command with("agent_undo_never", "kill -9 $$", "exec sleep 30");
    CHECK(with.status("p1") == "rollback_failed");
    CHECK(with.ask(undo_attempts) == "failed:3");
  }
  SECTION("the agent is stopped between two attempts") {
    boost::asio::io_context loop;
    async::stop_source stopping(loop.get_executor());
    stopping.request_soft();
    by_command with("agent_undo_stopped", "kill -9 $$", "exec sleep 30", stopping.token());
    CHECK(with.status("p1") == "executing");
    REQUIRE(with.execute("exit 9", "true", {}));
    CHECK(with.status("p1") == "failed");
    CHECK(with.ask(undo_attempts) == "done:2");
  }
}
