// Rollbacks whose change is taken back, and what comes after it.
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
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

/// Measures until it is told to end.
struct stuck_sampler final : agent::metrics::sampler {
  explicit stuck_sampler(boost::asio::io_context& io) : until(io, std::chrono::hours(1)) {}
  boost::asio::awaitable<base::result<messages::metric_set>> sample() override {
    boost::system::error_code ended;
    co_await until.async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, ended));
    co_return messages::metric_set();
  }
  boost::asio::steady_timer until;
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

TEST_CASE("rollback_worker: a step that was begun before the agent ended is done in doubt, and not run again") {
  to_be_taken_back with("agent_rollback_restart", "echo ran >> ../ran");
  REQUIRE(with.roll_back());
  CHECK(with.status("p1") == "rolled_back");
  const auto again = [&](const std::string& journal) {
    with.psql(journal +
              "update singularity.rollback set state = 'running', finished_at = null, steps = null;"
              "update singularity.proposal set status = 'applied', ended_at = null");
    with.make_flow();
    REQUIRE(with.roll_back());
    CHECK(with.status("p1") == "rolled_back");
    CHECK(with.ask(outcomes) == "revert_code:done clear_cache:done verify:done");
    CHECK(test::read_file(with.git.top.path() / "ran") == "ran\n");
    CHECK(with.git.tree() == with.before);
  };
  const std::string detail = "select steps -> 1 ->> 'detail' from singularity.rollback";
  const std::string attempts =
      "select string_agg(name || ':' || attempts, ' ' order by place) from singularity.rollback_step";
  SECTION("in the middle of it, and once more after that") {
    again("update singularity.rollback_step set outcome = null, finished_at = null, detail = null where place = 1;");
    CHECK_THAT(with.ask(detail), Catch::StartsWith("in doubt: "));
    again("");
    CHECK_THAT(with.ask(detail), Catch::StartsWith("in doubt: "));
    CHECK(with.ask(attempts) == "revert_code:3 clear_cache:3");
  }
  SECTION("after it") {
    again("");
    CHECK(with.ask(detail) == "");
    CHECK(with.ask(attempts) == "revert_code:2 clear_cache:2");
  }
}

TEST_CASE("rollback_worker: a step that a signal ends while the agent is told to stop is in doubt, not failed") {
  to_be_taken_back with("agent_rollback_stopped", "kill -TERM $$");
  const bool stopped = GENERATE(true, false);
  async::stop_source stopping(with.io.get_executor());
  if (stopped) stopping.request_soft();
  REQUIRE(test::run(with.io, with.rollbacks->roll_back_next(stopping.token())));
  CHECK(with.status("p1") == (stopped ? "rolled_back" : "rollback_failed"));
}

TEST_CASE("rollback_worker: the end of a rollback is told without metrics where measuring does not come to an end") {
  to_be_taken_back with("agent_rollback_unmeasured", "true");
  // The pool that measuring shares with everything else is full, and another measurement never ends.
  postgres::pool full(with.io.get_executor(), with.settings(), 1);
  auto taken = test::run(with.io, full.acquire(std::chrono::seconds(3)));
  stuck_sampler stuck(with.io);
  agent::metrics::measurer measure{with.io.get_executor(), stuck,    full,
                                   with.samples,           with.log, std::chrono::seconds(1)};
  bool measured = false;
  boost::asio::co_spawn(with.io, measure.measure(), [&](std::exception_ptr, boost::json::object) { measured = true; });
  agent::execution::rollback_options options;
  options.measure_wait = std::chrono::milliseconds(50);
  agent::execution::rollback_worker rollbacks(with.pool, *with.executor, *with.flow, measure, with.executions,
                                              with.wake, with.events, with.log, options);
  CHECK(test::run(with.io, rollbacks.roll_back_next(with.stop.token())));
  CHECK_FALSE(measured);
  CHECK(with.status("p1") == "rolled_back");
  CHECK(with.ask("select metrics_after from singularity.sample where status = 'rolled_back'") == "{}");
  stuck.until.cancel();
  REQUIRE(test::run_until(with.io, [&] { return measured; }));
}
