#include <catch2/catch.hpp>

#include "tests/integration/singularity/agent_fixture.hpp"

using namespace fleet;
using test::agent_fixture;

namespace {

const std::string states = "select string_agg(to_state, ',' order by step_id) from singularity.proposal_step";
const std::string reports =
    "select string_agg(payload ->> 'status', ',' order by message_id) from "
    "quantumflow.list_pending_messages('metrics_to_guardian_queue')";
const std::string steps =
    "select string_agg(step || ':' || outcome, ',' order by started_at) from singularity.execution_step";

}  // namespace

TEST_CASE("execution_flow: an approved change is applied, verified, measured, reported and watched to the end") {
  agent_fixture with("agent_flow_applied");
  with.approve("p1", "two\\n", R"("safety_profile":{"observation_window_seconds":60})");
  REQUIRE(with.execute());
  CHECK_FALSE(with.execute());
  CHECK(with.status("p1") == "applied");
  CHECK(with.git.file("b.txt") == "two\n");
  CHECK(with.commits_of("p1") == "1");
  CHECK(with.ask(states) == "pending,sent_for_consensus,consensus_reached,executing,applied");
  CHECK(with.ask(steps) == "check_profile:done,metrics_before:done,apply:done,verify:done,metrics_after:done");
  CHECK(with.ask("select applied_commit from singularity.proposal") == with.git.head());
  with.report_all();
  CHECK(with.ask(reports) == "executing,applied");
  CHECK(
      with.ask("select payload -> 'metrics_before' ->> 'error_rate', payload -> 'metrics_after' ->> 'error_rate' from "
               "quantumflow.list_pending_messages('metrics_to_guardian_queue') where payload ->> 'status' = "
               "'applied'") == "0.01|0.01");

  CHECK(with.ask(
            "select watch_until - applied_at between interval '59 s' and interval '61 s' from singularity.proposal") ==
        "t");
  for (int sample = 0; sample < 3; ++sample)
    REQUIRE(test::run_until(with.io, [&] { return test::run(with.io, with.watch.round()) == 1; }));
  CHECK(with.ask("select count(*) from singularity.sample where status = 'monitoring'") == "3");
  CHECK(with.ask("select ended_at is null from singularity.proposal") == "t");
  // The window's end is moved instead of waited for: how many samples fit into one depends on the machine.
  with.psql("update singularity.proposal set watch_until = now()");
  ++with.running;
  boost::asio::co_spawn(with.io, with.watch.run(with.stop.token()), [&with](std::exception_ptr) { --with.running; });
  CHECK(with.eventually("select ended_at is not null and next_sample_at is null from singularity.proposal", "t") ==
        "t");
  CHECK(with.status("p1") == "applied");
}

TEST_CASE("execution_flow: what agents tell of their type goes out with its watched changes' samples") {
  agent_fixture with("agent_flow_told");
  with.approve("p1");
  REQUIRE(with.execute());
  with.psql("select singularity.tell_metrics('agent-1', 'BugFixerAgent', '{\"error_rate\": 0.5}')");
  REQUIRE(test::run_until(with.io, [&] { return test::run(with.io, with.watch.round()) > 0; }));
  CHECK(with.ask("select metrics_after ->> 'error_rate' from singularity.sample where status = 'monitoring'") == "0.5");
}

TEST_CASE("execution_flow: samples carry the traceparent of the request that their figures were told with") {
  agent_fixture with("agent_flow_traces");
  const std::string traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  with.approve("p1");
  with.psql("select singularity.tell_metrics('agent-1', 'BugFixerAgent', '{\"queue_depth\": 5}', '" + traceparent +
            "')");
  // Told figures are old after three intervals, which are short here.
  with.psql("update singularity.agent_metrics set told_at = now() + interval '1 hour'");
  REQUIRE(with.execute());
  with.handle(agent_fixture::trigger("p1"));
  REQUIRE(with.roll_back());
  with.report_all();
  CHECK(with.ask("select string_agg(payload ->> 'status', ',' order by message_id) from "
                 "quantumflow.list_pending_messages('metrics_to_guardian_queue') where payload ->> "
                 "'metrics_traceparent' = '" +
                 traceparent + "'") == "executing,applied,rolled_back");
}

TEST_CASE("samples: two of one proposal that are taken at once become visible in the order of their numbers") {
  agent_fixture with("agent_flow_order");
  with.approve("p1");
  REQUIRE(with.execute());
  with.report_all();
  const std::string report = "select singularity.report_metrics('agent-1', 'p1', '{\"error_rate\": 0.5}')";
  const std::string watch = "select singularity.record_watch('agent-1', 'p1', '{\"error_rate\": 0.5}', 20)";
  for (const auto& later : {report, watch}) {
    const auto meanwhile = [&](postgres::transaction& open) -> boost::asio::awaitable<void> {
      co_await open.query(report);
      // Not committed yet: a later one that went first would be sent first.
      with.psql("do $$ begin set local lock_timeout = '100ms'; perform (" + later +
                "); exception when lock_not_available then null; end $$");
      CHECK(with.ask("select count(*) from singularity.sample where message_id is null") == "0");
    };
    test::run(with.io, agent::transact(with.pool, meanwhile));
    with.report_all();
  }
}

TEST_CASE("execution_flow: a change that does not pass its verification is undone and failed") {
  agent_fixture with("agent_flow_verify", "grep -q one b.txt");
  const auto before = with.git.tree();
  with.approve("p1");
  REQUIRE(with.execute());
  CHECK(with.status("p1") == "failed");
  CHECK(with.git.file("b.txt") == "one\n");
  CHECK(with.git.tree() == before);
  CHECK(with.git.status().empty());
  CHECK(with.ask(steps) == "check_profile:done,metrics_before:done,apply:done,verify:failed,undo:done");
  CHECK_THAT(with.ask("select failure from singularity.proposal"), Catch::Contains("exit code 1"));
  with.report_all();
  CHECK(with.ask(reports) == "executing,failed");
}

TEST_CASE("execution_flow: a change that does not fit is failed and nothing is touched") {
  agent_fixture with("agent_flow_unfit");
  const auto before = with.git.head();
  with.submit(R"({"proposal_id":"p1","agent_type":"T","safety_profile":{"error_threshold":0.1},"code_change":{"patch":)"
              R"("--- a/b.txt\n+++ b/b.txt\n@@ -1 +1 @@\n-nothing like it\n+two\n"}})");
  with.send_all();
  with.handle(with.result("p1", "approved"));
  REQUIRE(with.execute());
  CHECK(with.status("p1") == "failed");
  CHECK(with.git.head() == before);
}

TEST_CASE("execution_flow: a file whose name is not UTF-8 is named as well as can be, and blocks nothing") {
  agent_fixture with("agent_flow_raw_name");
  const auto raw = with.git.repo / "caf\xe9.txt";
  test::write_file(raw, "one\n");
  with.git.commit_all("a name of another time");
  test::write_file(raw, "two\n");
  with.approve("p1");
  REQUIRE(with.execute());
  CHECK(with.status("p1") == "failed");
  CHECK(with.ask("select failure from singularity.proposal") == "apply: repository_dirty: not committed: caf?.txt");
  CHECK(with.ask("select detail ->> 'failure' from singularity.execution_step where step = 'apply'") ==
        "repository_dirty: not committed: caf?.txt");
  test::write_file(raw, "one\n");
  with.approve("p2");
  REQUIRE(with.execute());
  CHECK(with.status("p2") == "applied");
}

TEST_CASE("rollback_worker: a conflict with a file whose name is not UTF-8 is told, and ends the rollback") {
  agent_fixture with("agent_rollback_raw_name");
  const auto raw = with.git.repo / "caf\xe9.txt";
  test::write_file(raw, "one\n");
  with.git.commit_all("a name of another time");
  with.approve("p1");
  REQUIRE(with.execute());
  // The change has the file, too, as far as the history says, and a later one builds on it.
  test::write_file(raw, "two\n");
  with.git.git("commit --quiet --amend --no-edit -a");
  test::write_file(raw, "three\n");
  with.git.commit_all("later");
  with.handle(agent_fixture::trigger("p1"));
  REQUIRE(with.roll_back());
  CHECK(with.status("p1") == "rollback_failed");
  CHECK_THAT(with.ask("select failure from singularity.proposal"), Catch::Contains("caf?.txt"));
  CHECK_THAT(with.ask("select steps -> 0 ->> 'detail' from singularity.rollback"), Catch::Contains("caf?.txt"));
}

TEST_CASE("execution_flow: without a safety profile nothing is executed; the agent type's own will do") {
  agent_fixture with("agent_flow_profile");
  with.approve("p1", "two\\n", R"("safety_profile":{})");
  REQUIRE(with.execute());
  CHECK(with.status("p1") == "failed");
  CHECK(with.ask("select failure from singularity.proposal") == "missing_safety_profile");
  CHECK(with.git.file("b.txt") == "one\n");
  with.psql(
      "select singularity.put_safety_profile('agent-1', 'BugFixerAgent', '{\"error_threshold\": 0.1}', 'operator', "
      "now())");
  with.approve("p2", "two\\n", R"("safety_profile":{})");
  REQUIRE(with.execute());
  CHECK(with.status("p2") == "applied");
}

TEST_CASE("execution_flow: a profile that is held goes before one that is brought, as it does with the coordinator") {
  agent_fixture with("agent_flow_precedence");
  const std::string held = R"('{"observation_window_seconds": 900, "cost_threshold": 3}')";
  with.psql("select singularity.put_safety_profile('agent-1', 'BugFixerAgent', " + held +
            ", 'operator', now());"
            "select centralcloud.set_safety_profile('BugFixerAgent', '', " +
            held + ", 'operator', 'test')");
  with.approve("p1", "two\\n", R"("safety_profile":{"observation_window_seconds":5,"error_threshold":0.2})");
  REQUIRE(with.execute());
  CHECK(with.ask("select round(extract(epoch from watch_until - applied_at)) from singularity.proposal") == "900");
  CHECK(with.ask("select s.detail -> 'safety_profile' = centralcloud.effective_profile(p.agent_type, p.instance_id, "
                 "p.safety_profile) from singularity.execution_step s join singularity.proposal p using (proposal_id) "
                 "where s.step = 'check_profile'") == "t");
}

TEST_CASE("execution_flow: after a crash between commit and record the change is found and not applied again") {
  agent_fixture with("agent_flow_crash");
  with.approve("p1");
  REQUIRE(with.execute());
  const auto head = with.git.head();
  // As the database stands when the process dies after the commit in the repository and before the step is recorded.
  with.psql(
      "update singularity.execution_step set outcome = null, finished_at = null, detail = null where step = 'apply';"
      "delete from singularity.execution_step where step in ('verify', 'metrics_after');"
      "update singularity.proposal set status = 'executing', applied = null, applied_commit = null");
  with.make_flow();
  REQUIRE(with.execute());
  CHECK(with.status("p1") == "applied");
  CHECK(with.git.head() == head);
  CHECK(with.commits_of("p1") == "1");
  CHECK(
      with.ask("select attempts, detail ->> 'already_applied' from singularity.execution_step where step = 'apply'") ==
      "2|true");
}

TEST_CASE("execution_flow: after a crash before the undo the refused change is undone, not verified again") {
  agent_fixture with("agent_flow_crash_undo", "grep -q one b.txt");
  with.approve("p1");
  REQUIRE(with.execute());
  with.psql(
      "delete from singularity.execution_step where step = 'undo';"
      "update singularity.proposal set status = 'executing', ended_at = null");
  with.make_flow();
  REQUIRE(with.execute());
  CHECK(with.status("p1") == "failed");
  CHECK(with.git.file("b.txt") == "one\n");
  CHECK(with.ask("select attempts from singularity.execution_step where step = 'verify'") == "1");
}

TEST_CASE("rollback_worker: an applied change is reverted, verified again and reported") {
  agent_fixture with("agent_rollback");
  const auto before = with.git.tree();
  with.approve("p1");
  REQUIRE(with.execute());
  with.handle(agent_fixture::trigger("p1"));
  REQUIRE(with.roll_back());
  CHECK_FALSE(with.roll_back());
  CHECK(with.status("p1") == "rolled_back");
  CHECK(with.git.tree() == before);
  CHECK(with.ask("select state, jsonb_path_query_array(steps, '$[*].outcome') from singularity.rollback") ==
        R"(completed|["done", "skipped", "done"])");
  CHECK(with.handle(agent_fixture::trigger("p1", "r2")).what == quantumflow::outcome::kind::done);
  CHECK_FALSE(with.roll_back());
  with.report_all();
  CHECK(with.ask(reports) == "executing,applied,rolled_back");
  CHECK(with.events.counted(telemetry::event::rollback_completed) == 1);
}

TEST_CASE("rollback_worker: a change that later work builds on cannot be taken back, which is a state of its own") {
  agent_fixture with("agent_rollback_conflict");
  with.approve("p1");
  REQUIRE(with.execute());
  with.approve("p2", "three\\n");
  REQUIRE(with.execute());
  with.handle(agent_fixture::trigger("p1"));
  REQUIRE(with.roll_back());
  CHECK(with.status("p1") == "rollback_failed");
  CHECK(with.status("p2") == "applied");
  CHECK(with.git.file("b.txt") == "three\n");
  CHECK_THAT(with.ask("select failure from singularity.proposal where proposal_id = 'p1'"), Catch::Contains("b.txt"));
  CHECK(with.events.counted(telemetry::event::rollback_failed) == 1);
}

TEST_CASE("rollback_worker: a change that is approved and not applied yet is cancelled") {
  agent_fixture with("agent_rollback_early");
  const auto before = with.git.head();
  with.approve("p1");
  with.handle(agent_fixture::trigger("p1"));
  CHECK_FALSE(with.execute());
  REQUIRE(with.roll_back());
  CHECK(with.status("p1") == "rolled_back");
  CHECK(with.git.head() == before);
  CHECK(with.ask(states) == "pending,sent_for_consensus,consensus_reached,executing,rolled_back");
}

TEST_CASE("rollback_worker: a rollback asked for in the middle of an execution takes over from it") {
  agent_fixture with("agent_rollback_middle");
  const auto before = with.git.tree();
  with.approve("p1");
  REQUIRE(with.execute());
  with.psql(
      "update singularity.proposal set status = 'executing', applied = null;"
      "delete from singularity.execution_step where step in ('verify', 'metrics_after')");
  with.handle(agent_fixture::trigger("p1"));
  with.make_flow();
  CHECK_FALSE(with.execute());
  REQUIRE(with.roll_back());
  CHECK(with.status("p1") == "rolled_back");
  CHECK(with.git.tree() == before);
}
