#include <catch2/catch.hpp>

#include "tests/integration/centralcloud/central_fixture.hpp"

using namespace fleet;
using test::central_fixture;

namespace {

const std::string triggers = central_fixture::pending("rollback_triggers_queue");

std::string state_of(const std::string& id) {
  return "select change_state from centralcloud.proposals where proposal_id = '" + id + "'";
}

/// A proposal that was approved without a vote.
void approved(central_fixture& with, const std::string& id, const std::string& more = "") {
  with.propose(id, R"({"needs_consensus":false,"max_risk_score":9)" + more + "}");
  REQUIRE(with.idle());
}

}  // namespace

TEST_CASE("handle_execution_metrics: a breach leads to exactly one trigger, with strategy and threshold") {
  central_fixture with("guardian_breach");
  with.start_consumers();
  approved(with, "p1");
  with.report("p1", "executing", "{}", 1);
  with.report("p1", "applied", R"({"error_rate":0.10})", 2);
  REQUIRE(with.idle());
  CHECK(with.now_gives(state_of("p1")) == "watching");
  CHECK(with.now_gives(triggers) == "0");
  with.report("p1", "monitoring", R"({"error_rate":0.15,"success_rate":0.5})", 3);
  with.report("p1", "monitoring", R"({"error_rate":0.9})", 4);
  REQUIRE(with.idle());
  CHECK(with.now_gives(triggers) == "1");
  CHECK(with.now_gives("select payload ->> 'reason' || ' ' || (payload #>> '{threshold,success_rate}') || ' ' || "
                       "(payload #>> '{threshold,actual}') || ' ' || (payload #>> '{threshold,severity}') || ' ' || "
                       "(payload #>> '{strategy,steps,0}') || ' ' || recipient "
                       "from quantumflow.list_pending_messages('rollback_triggers_queue')") ==
        "success_rate_breach 0.9 0.5 critical git_revert a");
  with.report("p1", "rolled_back", "{}", 5);
  REQUIRE(with.idle());
  CHECK(with.now_gives("select change_state || ' ' || rollback_outcome from centralcloud.proposals") ==
        "rolled_back rolled_back");
  // The next trigger of that type knows how this one went.
  approved(with, "p2");
  with.report("p2", "applied", R"({"error_rate":0.5})", 6);
  REQUIRE(with.idle());
  CHECK(with.now_gives("select payload #>> '{strategy,learned_from_count}' from "
                       "quantumflow.list_pending_messages('rollback_triggers_queue') "
                       "where payload ->> 'proposal_id' = 'p2'") == "1");
}

TEST_CASE("handle_execution_metrics: breaches in a row are counted over samples, and the profile moves the bound") {
  central_fixture with("guardian_runs");
  with.start_consumers();
  approved(with, "p1", R"(,"latency_threshold":500)");
  with.report("p1", "applied", R"({"latency_p95_ms":501})", 1);
  with.report("p1", "monitoring", R"({"latency_p95_ms":500})", 2);
  with.report("p1", "monitoring", R"({"latency_p95_ms":501})", 3);
  with.report("p1", "monitoring", R"({"cpu_usage":20})", 4);
  REQUIRE(with.idle());
  CHECK(with.now_gives(triggers) == "0");
  with.report("p1", "monitoring", R"({"latency_p95_ms":501})", 5);
  REQUIRE(with.idle());
  CHECK(with.now_gives("select payload ->> 'reason' || ' ' || (payload #>> '{threshold,breaches}') from "
                       "quantumflow.list_pending_messages('rollback_triggers_queue')") == "latency_p95_ms_breach 2");
}

TEST_CASE("handle_execution_metrics: what was measured before the change was in place is not held against it") {
  central_fixture with("guardian_before_applied");
  with.start_consumers();
  approved(with, "p1");
  with.report("p1", "executing", R"({"error_rate":0.5})", 1);
  REQUIRE(with.idle());
  CHECK(with.now_gives(state_of("p1")) == "executing");
  CHECK(with.now_gives(triggers) == "0");
  with.report("p1", "applied", R"({"error_rate":0.01})", 3);
  with.report("p1", "executing", R"({"error_rate":0.6})", 2);
  REQUIRE(with.idle());
  CHECK(with.now_gives(state_of("p1")) == "watching");
  CHECK(with.now_gives(triggers) == "0");
  // One whose report of `applied` is late is caught by its own samples.
  approved(with, "p2");
  with.report("p2", "monitoring", R"({"error_rate":0.5})", 4);
  REQUIRE(with.idle());
  CHECK(with.now_gives(triggers) == "1");
  with.report("p2", "applied", R"({"error_rate":0.5})", 3);
  REQUIRE(with.idle());
  CHECK(with.now_gives(triggers) == "1");
}

TEST_CASE("handle_execution_metrics: an increase is measured from the time before the change") {
  central_fixture with("guardian_increase");
  with.start_consumers();
  approved(with, "p1");
  with.report("p1", "applied", R"({"cpu_usage":60})", 1);
  REQUIRE(with.idle());
  CHECK(with.now_gives(triggers) == "0");
  with.report("p1", "monitoring", R"({"cpu_usage":61})", 2);
  REQUIRE(with.idle());
  CHECK(with.now_gives(triggers) == "1");
}

TEST_CASE("handle_execution_metrics: the same report again changes nothing, an unknown proposal is dead") {
  central_fixture with("guardian_same");
  with.start_consumers();
  approved(with, "p1", R"(,"latency_threshold":500)");
  with.report("p1", "applied", R"({"latency_p95_ms":501})", 1);
  with.report("p1", "applied", R"({"latency_p95_ms":501})", 1);
  with.report("nothing", "applied", "{}", 1);
  REQUIRE(with.idle());
  CHECK(with.now_gives(triggers) == "0");
  CHECK(with.now_gives("select jsonb_array_length(centralcloud.proposal_story('p1') -> 'samples')") == "1");
  CHECK_THAT(with.now_gives("select error from quantumflow.list_dlq_messages()"),
             Catch::StartsWith("unknown proposal"));
}

TEST_CASE("watch: without auto_rollback a breach is an alert") {
  central_fixture with("guardian_alert");
  with.start_consumers();
  approved(with, "p1", R"(,"auto_rollback":false)");
  with.report("p1", "applied", R"({"error_rate":0.5})", 1);
  REQUIRE(with.idle());
  CHECK(with.now_gives(triggers) == "0");
  CHECK(with.now_gives("select count(*) from centralcloud.audit_entries where action = 'alert:error_rate_breach'") ==
        "1");
}

TEST_CASE("watch: a change that nobody approved is watched, taken back and told about") {
  central_fixture with("guardian_unapproved");
  with.start_consumers();
  with.propose("p1");
  REQUIRE(with.idle());
  with.report("p1", "applied", R"({"error_rate":0.5})", 1);
  REQUIRE(with.idle());
  CHECK(with.now_gives(triggers) == "1");
  CHECK(with.now_gives("select count(*) from centralcloud.audit_entries where action = 'executed_without_approval'") ==
        "1");
}

TEST_CASE("watch: the window's end confirms a change, but not over a sample that still waits") {
  central_fixture with("guardian_window");
  with.start_consumers();
  approved(with, "good", R"(,"observation_window_seconds":60)");
  approved(with, "bad", R"(,"observation_window_seconds":60)");
  with.report("good", "applied", R"({"error_rate":0.01})", 1);
  with.report("bad", "applied", R"({"error_rate":0.01})", 1);
  REQUIRE(with.idle());
  with.stop_all();
  with.report("bad", "monitoring", R"({"error_rate":0.5})", 2);
  with.psql("update centralcloud.change set watch_until = clock_timestamp()");
  const auto due = [&](postgres::transaction& open) { return with.changes.confirm_due(open, with.piece); };
  CHECK(with.in_own_transaction(due));
  CHECK_FALSE(with.in_own_transaction(due));
  CHECK(with.now_gives(state_of("good")) == "confirmed");
  CHECK(with.now_gives(state_of("bad")) == "watching");
}

TEST_CASE("timers: confirm what is due") {
  central_fixture with("guardian_timers");
  with.start_workers();
  approved(with, "p1", R"(,"observation_window_seconds":1)");
  with.report("p1", "applied", R"({"error_rate":0.01})", 1);
  CHECK(with.eventually(state_of("p1"), "confirmed") == "confirmed");
  CHECK(with.now_gives(triggers) == "0");
  with.stop_all();
}

TEST_CASE("watch: silence is told once, and takes the change back where that is configured") {
  central_fixture with("guardian_silence");
  with.guardian_settings.metrics_interval = std::chrono::milliseconds(100);
  with.start_consumers();
  approved(with, "p1");
  with.report("p1", "applied", R"({"error_rate":0.01})", 1);
  REQUIRE(with.idle());
  const std::string silent =
      "select (s ->> 'received_at')::timestamptz < clock_timestamp() - interval '300 ms' from jsonb_array_elements("
      "centralcloud.proposal_story('p1') -> 'samples') s";
  REQUIRE(with.eventually(silent, "t") == "t");
  const auto look = [&](postgres::transaction& open) { return with.changes.report_silence(open, with.piece); };
  CHECK(with.in_own_transaction(look));
  CHECK_FALSE(with.in_own_transaction(look));
  CHECK(with.now_gives(triggers) == "0");
  with.guardian_settings.missing_rolls_back = true;
  with.report("p1", "monitoring", R"({"error_rate":0.01})", 2);
  REQUIRE(with.idle());
  const auto again = [&] { return with.in_own_transaction(look); };
  REQUIRE(test::run_until(with.io, again));
  CHECK(with.now_gives("select rollback_reason from centralcloud.proposals") == "metrics_missing");
  CHECK(with.now_gives(triggers) == "1");
}

TEST_CASE("timers: silence is judged by who has had the database for as long, without a break") {
  central_fixture with("guardian_silence_break");
  with.guardian_settings.metrics_interval = std::chrono::milliseconds(500);  // silence: 1.5 s
  with.psql(
      "select centralcloud.receive_proposal(jsonb_build_object('proposal_id', id, 'instance_id', 'a', 'agent_type', "
      "'T', 'safety_profile', '{}'::jsonb)), centralcloud.open_vote(id, 600000, 60000, true, 0, 0), "
      "centralcloud.record_sample(id, 'a', 'applied', '{}', '{}', now(), 600000) from unnest('{p1,p2}'::text[]) id");
  const auto silence_of = [](const std::string& proposal) {
    return "update centralcloud.change set last_sample_at = now() + case when proposal_id = '" + proposal +
           "' then -1 else 1 end * interval '1 hour'";
  };
  const auto told_after = [&](const std::string& proposal) {
    const auto began = std::chrono::steady_clock::now();
    const auto told =
        "select count(*) from centralcloud.audit_entries where action = 'metrics_missing' and proposal_id = '" +
        proposal + "'";
    CHECK(with.eventually(told, "1") == "1");
    return std::chrono::steady_clock::now() - began;
  };
  with.psql(silence_of("p1"));
  with.start_timers();
  CHECK(told_after("p1") >= with.guardian_settings.silence());
  // For the timers the database does not answer for a while; a lock is as good as an outage.
  auto other = test::run(with.io, with.pool.acquire());
  const auto say = [&](std::string sql) { test::run(with.io, other->query(std::move(sql))); };
  say("begin");
  say("lock table centralcloud.change in access exclusive mode");
  say(silence_of("p2"));
  const auto locked_until = std::chrono::steady_clock::now() + std::chrono::milliseconds(6'500);
  test::run_until(with.io, [&] { return std::chrono::steady_clock::now() >= locked_until; });
  say("commit");
  CHECK(told_after("p2") >= with.guardian_settings.silence());
  with.stop_all();
}

TEST_CASE("watch: an operator takes back a watched or confirmed change, once") {
  central_fixture with("guardian_operator");
  with.start_consumers();
  approved(with, "p1");
  with.report("p1", "applied", "{}", 1);
  REQUIRE(with.idle());
  central::guardian::watch::operator_request wanted;
  wanted.proposal = base::proposal_id("p1");
  wanted.reason = "customers complain";
  wanted.actor = "operator";
  const auto ask = [&](postgres::transaction& open) { return with.changes.roll_back_by_operator(open, wanted); };
  const auto first = with.in_own_transaction(ask);
  REQUIRE(first.has_value());
  CHECK_FALSE(first->again);
  CHECK(with.now_gives(triggers) == "1");
  // The trigger may be lost, so asking again sends the same once more.
  const auto second = with.in_own_transaction(ask);
  REQUIRE(second.has_value());
  CHECK(second->again);
  CHECK(second->rollback_id == first->rollback_id);
  CHECK(with.now_gives("select count(*), count(distinct payload - 'timestamp' - 'traceparent') from "
                       "quantumflow.list_pending_messages('rollback_triggers_queue')") == "2|1");
  CHECK(with.now_gives("select detail ->> 'rollback_id' from centralcloud.audit_entries where action = "
                       "'rollback_repeated'") == first->rollback_id);
  with.report("p1", "rolled_back", "{}", 2);
  REQUIRE(with.idle());
  const auto over = with.in_own_transaction(ask);
  REQUIRE_FALSE(over.has_value());
  CHECK(over.error().kind == base::error_kind::conflict);
  wanted.proposal = base::proposal_id("nothing");
  const auto third = with.in_own_transaction(ask);
  REQUIRE_FALSE(third.has_value());
  CHECK(third.error().kind == base::error_kind::not_found);
  CHECK(with.now_gives("select count(*) from centralcloud.rollback") == "1");
  CHECK(with.now_gives(triggers) == "2");
  CHECK(with.now_gives("select detail ->> 'note' from centralcloud.audit_entries where action = 'rollback_trigger'") ==
        "customers complain");
}

TEST_CASE("learning: confirmed changes tighten the agent type's bounds and every instance is told") {
  central_fixture with("guardian_learning");
  with.psql("select quantumflow.subscribe('guardian_safety_profiles_queue', 'a')");
  with.guardian_settings.learning.min_samples = 5;
  with.start_consumers();
  for (int n = 1; n <= 5; ++n) {
    const auto id = "p" + std::to_string(n);
    approved(with, id, R"(,"observation_window_seconds":60)");
    with.report(id, "applied", R"({"latency_p95_ms":200})", n);
  }
  REQUIRE(with.idle());
  with.psql("update centralcloud.change set watch_until = clock_timestamp()");
  const auto due = [&](postgres::transaction& open) { return with.changes.confirm_due(open, with.piece); };
  for (int n = 1; n <= 5; ++n) REQUIRE(with.in_own_transaction(due));
  CHECK(with.now_gives("select (profile ->> 'latency_threshold')::numeric < 3000 from centralcloud.safety_profiles") ==
        "t");
  CHECK(with.now_gives("select payload ->> 'instance_id' || ' ' || (payload ->> 'source') from "
                       "quantumflow.list_pending_messages('guardian_safety_profiles_queue')") ==
        "broadcast guardian_learning");
}

TEST_CASE("learning: what an operator sets meanwhile stays, and is told with what was learned") {
  central_fixture with("guardian_learning_beside");
  with.psql("select quantumflow.subscribe('guardian_safety_profiles_queue', 'a')");
  with.psql("select centralcloud.set_safety_profile('T', '', '{\"needs_consensus\": false}', 'operator', 'test')");
  with.guardian_settings.learning.min_samples = 1;
  with.start_consumers();
  approved(with, "p1", R"(,"observation_window_seconds":60)");
  with.report("p1", "applied", R"({"latency_p95_ms":200})", 1);
  REQUIRE(with.idle());
  with.psql("update centralcloud.change set watch_until = clock_timestamp()");
  auto operators = test::run(with.io, with.pool.acquire());
  const auto say = [&](std::string sql) { test::run(with.io, operators->query(std::move(sql))); };
  say("begin");
  say("select centralcloud.set_safety_profile('T', '', '{\"needs_consensus\": true, \"note\": 1}', 'operator', "
      "'test')");
  bool confirmed = false;
  const auto confirm = [&]() -> boost::asio::awaitable<void> {
    const auto due = [&](postgres::transaction& open) { return with.changes.confirm_due(open, with.piece); };
    auto lease = co_await with.pool.acquire();
    confirmed = co_await postgres::in_transaction(*lease, due);
  };
  boost::asio::co_spawn(with.io, confirm(), boost::asio::detached);
  const std::string waits =
      "select count(*) from pg_stat_activity where datname = current_database() and "
      "wait_event_type = 'Lock'";
  CHECK(with.eventually(waits, "1") == "1");
  say("commit");
  REQUIRE(test::run_until(with.io, [&] { return confirmed; }));
  CHECK(with.now_gives("select (profile ->> 'latency_threshold')::numeric < 3000, profile ->> 'needs_consensus', "
                       "profile ->> 'note' from centralcloud.safety_profiles") == "t|true|1");
  CHECK(with.now_gives("select payload #>> '{safety_profile,needs_consensus}' from "
                       "quantumflow.list_pending_messages('guardian_safety_profiles_queue')") == "true");
}
