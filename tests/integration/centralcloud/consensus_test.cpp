#include <catch2/catch.hpp>

#include "tests/integration/centralcloud/central_fixture.hpp"

using namespace fleet;
using test::central_fixture;

namespace {

const std::string results = central_fixture::pending("consensus_results_queue");
const std::string last_error =
    "select coalesce(max(reason || ': ' || error), 'none') from quantumflow.list_dlq_messages()";

std::string status_of(const std::string& id) {
  return "select status || ' ' || rule from centralcloud.proposals where proposal_id = '" + id + "'";
}

}  // namespace

TEST_CASE("handle_proposal_for_consensus: opens the vote with the fresh voters and asks every instance") {
  central_fixture with("consensus_open");
  with.psql("select quantumflow.subscribe('voting_requests_queue', 'b')");
  with.heartbeats("a,b,c,stale");
  with.psql("select centralcloud.heartbeat('watcher', '1', '{}')");
  with.psql("update centralcloud.instance set last_seen_at = now() - interval '1 hour' where instance_id = 'stale'");
  with.start_consumers();
  with.propose("p1");
  REQUIRE(with.idle());
  CHECK(with.now_gives("select string_agg(v, ',') from jsonb_array_elements_text(centralcloud.proposal_story('p1') -> "
                       "'voters') v") == "a,b,c");
  CHECK(with.now_gives("select count(*) from quantumflow.list_pending_messages('voting_requests_queue') m, "
                       "centralcloud.proposals p where (m.payload ->> 'deadline')::timestamptz = p.deadline") == "1");
  CHECK(test::run_until(with.io, [&] { return with.events.counted(telemetry::event::proposal_received) == 1; }));
}

TEST_CASE("handle_proposal_for_consensus: the same again has no second effect, other content is a conflict") {
  central_fixture with("consensus_same");
  with.psql("select quantumflow.subscribe('voting_requests_queue', 'b')");
  with.start_consumers();
  with.propose("p1");
  with.propose("p1");
  REQUIRE(with.idle());
  CHECK(with.now_gives(central_fixture::pending("voting_requests_queue")) == "1");
  // With what it does to files that have changed in between it is the same still.
  with.psql(
      "select quantumflow.publish('proposals_for_consensus_queue', body || '{\"preview\": {\"commit\": \"c\"}}') from "
      "centralcloud.proposal");
  REQUIRE(with.idle());
  CHECK(with.now_gives(last_error) == "none");
  with.propose("p1", "{}", "6");
  REQUIRE(with.idle());
  CHECK_THAT(with.now_gives(last_error), Catch::StartsWith("rejected: conflict"));
  CHECK(with.now_gives(central_fixture::pending("voting_requests_queue")) == "1");
}

TEST_CASE(
    "handle_proposal_for_consensus: whose id is another instance's is told that it is rejected, and that one's stays") {
  central_fixture with("consensus_taken");
  with.heartbeats("a,b,c");
  with.start_consumers();
  with.propose("p1");
  REQUIRE(with.idle());
  with.publish_text("proposals_for_consensus_queue",
                    R"({"type":"proposal_for_consensus","proposal_id":"p1","instance_id":"b","agent_type":"T",)"
                    R"("code_change":{"patch":"x"},"impact_score":5,"risk_score":5,"safety_profile":{},)"
                    R"("timestamp":"2026-01-01T00:00:00.000Z"})");
  REQUIRE(with.idle());
  CHECK_THAT(with.now_gives(last_error), Catch::StartsWith("rejected: conflict"));
  CHECK(with.now_gives(
            "select recipient || ' ' || (payload ->> 'proposal_id') || ' ' || (payload ->> 'status') || ' ' || "
            "(payload ->> 'rule') from quantumflow.list_pending_messages('consensus_results_queue')") ==
        "b p1 rejected conflict");
  CHECK(with.now_gives("select instance_id || ' ' || status from centralcloud.proposals") == "a voting");
}

TEST_CASE("consumers: an invalid message is dead at once, with the field's name") {
  central_fixture with("consumers_invalid");
  with.start_consumers();
  with.publish_text("proposals_for_consensus_queue", R"({"type":"proposal_for_consensus","proposal_id":"p1"})");
  with.publish_text("votes_for_consensus_queue", R"({"type":"vote","proposal_id":"p1","confidence":2})");
  with.publish_text("metrics_to_guardian_queue", R"({"type":"execution_metrics","proposal_id":"p1"})");
  with.publish_text("patterns_for_aggregator_queue", R"({"type":"pattern_discovered","code_pattern":{}})");
  REQUIRE(with.idle());
  const auto named = [&](const std::string& queue, const std::string& field) {
    return with.now_gives("select count(*) from quantumflow.list_dlq_messages('" + queue +
                          "') where reason = 'rejected' and error like '%" + field + "%'");
  };
  CHECK(named("proposals_for_consensus_queue", "instance_id") == "1");
  CHECK(named("votes_for_consensus_queue", "confidence") == "1");
  CHECK(named("metrics_to_guardian_queue", "status") == "1");
  CHECK(named("patterns_for_aggregator_queue", "pattern_type") == "1");
}

TEST_CASE("handle_vote: three approvals decide once, and the result says why") {
  central_fixture with("consensus_decide");
  with.heartbeats("a,b,c,d");
  with.start_consumers();
  with.propose("p1");
  REQUIRE(with.idle());
  with.cast("p1", "a", "approve", "0.90");
  with.cast("p1", "b", "approve", "0.85");
  with.cast("p1", "c", "approve", "0.80");
  with.cast("p1", "d", "reject", "0.99");
  REQUIRE(with.idle());
  CHECK(with.now_gives(status_of("p1")) == "approved consensus");
  CHECK(with.now_gives(results) == "1");
  CHECK(with.now_gives("select payload ->> 'confidence' || ' ' || (payload ->> 'instance_id') || ' ' || "
                       "jsonb_array_length(payload -> 'vote_details') || ' ' || (payload #>> '{votes,c}') "
                       "from quantumflow.list_pending_messages('consensus_results_queue')") == "0.85 a 3 approve");
  // The fourth came after the decision.
  CHECK(with.now_gives("select v ->> 'not_counted' from jsonb_array_elements(centralcloud.proposal_story('p1') -> "
                       "'vote_list') v where v ->> 'instance_id' = 'd'") == "after_decision");
}

TEST_CASE("handle_vote: what does not count is recorded, what is refused is in the audit log") {
  central_fixture with("consensus_votes");
  with.heartbeats("a,b,c");
  with.start_consumers();
  with.propose("p1");
  REQUIRE(with.idle());
  with.cast("p1", "stranger", "reject", "0.99");
  with.cast("p1", "a", "approve", "0.9");
  with.cast("p1", "a", "approve", "0.9");
  with.cast("p1", "a", "reject", "0.9");
  REQUIRE(with.idle());
  CHECK(with.now_gives(last_error) == "none");
  CHECK(with.now_gives("select string_agg(action, ',' order by audit_id) from centralcloud.audit_entries "
                       "where action not in ('migrate', 'step')") == "vote_not_counted,second_vote_refused");
  CHECK(with.now_gives("select votes || ' ' || status from centralcloud.proposals") == "1 voting");
  with.cast("nothing", "a", "approve", "0.9");
  REQUIRE(with.idle());
  CHECK_THAT(with.now_gives(last_error), Catch::StartsWith("rejected: unknown proposal"));
}

TEST_CASE("engine: a profile that needs no consensus decides at once, up to its risk") {
  central_fixture with("consensus_not_required");
  with.heartbeats("a,b,c");
  with.start_consumers();
  with.propose("low", R"({"needs_consensus":false,"max_risk_score":4})", "4");
  with.propose("high", R"({"needs_consensus":false,"max_risk_score":4})", "4.5");
  REQUIRE(with.idle());
  CHECK(with.now_gives(status_of("low")) == "approved not_required");
  CHECK(with.now_gives("select status from centralcloud.proposals where proposal_id = 'high'") == "voting");
  // The coordinator's own word about the agent type wins over what a proposal brings.
  with.psql("select centralcloud.set_safety_profile('T', '', '{\"needs_consensus\":true}', 'operator', 'test')");
  with.propose("held", R"({"needs_consensus":false,"max_risk_score":4})", "4");
  REQUIRE(with.idle());
  CHECK(with.now_gives("select status from centralcloud.proposals where proposal_id = 'held'") == "voting");
}

TEST_CASE("engine: two at once decide a proposal once") {
  central_fixture with("consensus_two_engines");
  with.heartbeats("a,b,c,d");
  with.start_consumers();
  with.propose("p1");
  REQUIRE(with.idle());  // a vote overtaking its proposal would be unknown
  with.cast("p1", "a", "approve", "0.9");
  with.cast("p1", "b", "approve", "0.9");
  REQUIRE(with.idle());
  central::consensus::engine second(with.out, with.consensus_settings, with.log);
  int ended = 0;
  std::string refused;
  const auto vote = [&](central::consensus::engine& by, std::string voter) -> boost::asio::awaitable<void> {
    messages::vote message;
    message.proposal_id = base::proposal_id("p1");
    message.instance_id = base::instance_id(std::move(voter));
    message.confidence = base::decimal::from_millionths(900'000);
    const auto work = [&](postgres::transaction& open) { return by.receive_vote(open, message); };
    auto lease = co_await with.pool.acquire();
    const auto outcome = co_await postgres::in_transaction(*lease, work);
    if (outcome.what != quantumflow::outcome::kind::done) refused += outcome.error;
    ++ended;
  };
  boost::asio::co_spawn(with.io, vote(with.votes, "c"), boost::asio::detached);
  boost::asio::co_spawn(with.io, vote(second, "d"), boost::asio::detached);
  REQUIRE(test::run_until(with.io, [&] { return ended == 2; }));
  CHECK(refused == "");
  CHECK(with.now_gives(results) == "1");
  CHECK(with.now_gives("select string_agg(counted::text, ',' order by counted) from jsonb_to_recordset("
                       "centralcloud.proposal_story('p1') -> 'vote_list') as v(counted bool)") ==
        "false,true,true,true");
}

TEST_CASE("engine: an undecided vote is rejected at its deadline, once, whoever looks") {
  central_fixture with("consensus_timeout");
  with.consensus_settings.voting_timeout = std::chrono::milliseconds(200);
  with.heartbeats("a,b,c");
  central::timers other(with.pool, with.votes, with.changes, with.guardian_settings, with.log, with.metrics);
  with.start_workers();
  ++with.running;
  boost::asio::co_spawn(with.io, other.run(with.stop.token()), [&](std::exception_ptr) { --with.running; });
  with.propose("p1");
  CHECK(with.eventually(status_of("p1"), "rejected timeout") == "rejected timeout");
  CHECK(with.now_gives(results) == "1");
  with.stop_all();
}

TEST_CASE("engine: a vote waits for enough voters, and opens with fewer when they do not come") {
  central_fixture with("consensus_waits");
  with.consensus_settings.voters_wait = std::chrono::milliseconds(1'500);
  const std::string asked =
      "select string_agg(body::json ->> 'proposal_id', ',' order by msg_id) from quantumflow.message "
      "where body::json ->> 'type' = 'voting_request'";
  central::timers timed(with.pool, with.votes, with.changes, with.guardian_settings, with.log, with.metrics);
  with.heartbeats("a");
  with.start_workers();
  ++with.running;
  boost::asio::co_spawn(with.io, timed.run(with.stop.token()), [&](std::exception_ptr) { --with.running; });
  with.propose("p1");
  REQUIRE(with.idle());
  CHECK(with.now_gives(asked) == "");
  with.heartbeats("b,c");
  CHECK(with.eventually(asked, "p1") == "p1");
  CHECK(with.now_gives("select count(*) from centralcloud.electorate where proposal_id = 'p1'") == "3");

  with.psql(
      "update centralcloud.instance set last_seen_at = last_seen_at - interval '1 hour' where instance_id <> 'a'");
  with.propose("p2");
  REQUIRE(with.idle());
  CHECK(with.now_gives(asked) == "p1");
  CHECK(with.eventually(asked, "p1,p2") == "p1,p2");
  CHECK(with.now_gives("select count(*) from centralcloud.electorate where proposal_id = 'p2'") == "1");
  with.stop_all();
}

TEST_CASE("engine: votes that waited in the queue when time ran out still count") {
  central_fixture with("consensus_late");
  with.heartbeats("a,b,c");
  const auto proposals_only = with.in.subscriptions().front();
  quantumflow::consumer_options options;
  options.queue = proposals_only.queue;
  options.group = central::consumer_group;
  quantumflow::consumer worker(with.pool, with.waker, options, proposals_only.handler);
  with.consume(worker);
  with.propose("p1");
  REQUIRE(with.idle());
  for (const auto* voter : {"a", "b", "c"}) with.cast("p1", voter, "approve", "0.95");
  // Nobody takes votes while the deadline passes: the coordinator was down.
  with.psql("update centralcloud.proposal set deadline = clock_timestamp()");
  const auto due = [&](postgres::transaction& open) { return with.votes.decide_due(open, with.piece); };
  CHECK_FALSE(with.in_own_transaction(due));
  with.start_consumers();
  CHECK(with.eventually(status_of("p1"), "approved consensus") == "approved consensus");
  with.stop_all();
}
