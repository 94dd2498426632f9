// What is due and cannot be done holds up nothing else.
#include <catch2/catch.hpp>
#include <string>

#include "tests/integration/centralcloud/central_fixture.hpp"

using namespace fleet;
using test::central_fixture;

namespace {

constexpr std::size_t max_bytes = 8U * 1024 * 1024;

/// A proposal whose message has exactly so many bytes.
void propose_large(central_fixture& with, const std::string& id, std::size_t bytes) {
  const std::string head = R"({"type":"proposal_for_consensus","proposal_id":")" + id +
                           R"(","instance_id":"a","agent_type":"T","code_change":{"patch":")";
  const std::string tail =
      R"("},"impact_score":5,"risk_score":5,"safety_profile":{},"timestamp":"2026-01-01T00:00:00.000Z"})";
  // Made by the server: psql takes no argument of that length.
  with.psql("select quantumflow.publish('proposals_for_consensus_queue', '" + head + "' || repeat('x', " +
            std::to_string(bytes - head.size() - tail.size()) + ") || '" + tail + "')");
}

std::string status_of(const std::string& id) {
  return "select status || ' ' || coalesce(rule, '') from centralcloud.proposals where proposal_id = '" + id + "'";
}

double failures(central_fixture& with, const std::string& work) {
  return with.metrics.counter_of("centralcloud_timed_work_failures_total", {{"work", work}}).value();
}

}  // namespace

TEST_CASE("handle_proposal_for_consensus: what voters could not be asked about is rejected, and its proposer told") {
  central_fixture with("consensus_too_large");
  with.consensus_settings.voters_wait = std::chrono::milliseconds(100);
  with.start_workers();
  propose_large(with, "large", max_bytes - 4);
  with.propose("small");
  REQUIRE(with.idle());
  CHECK_THAT(with.now_gives("select reason || ': ' || error from quantumflow.list_dlq_messages()"),
             Catch::StartsWith("rejected: too large"));
  CHECK(with.now_gives(
            "select recipient || ' ' || (payload ->> 'proposal_id') || ' ' || (payload ->> 'status') || ' ' || "
            "(payload ->> 'rule') from quantumflow.list_pending_messages('consensus_results_queue')") ==
        "a large rejected too_large");
  CHECK(with.now_gives("select string_agg(proposal_id, ',') from centralcloud.proposals") == "small");
  CHECK(with.eventually("select count(*) from centralcloud.proposals where deadline is not null", "1") == "1");
  // An id that has its proposal keeps it, and gets its one decision.
  propose_large(with, "small", max_bytes - 4);
  REQUIRE(with.idle());
  CHECK(with.now_gives("select count(*) from quantumflow.list_dlq_messages() where error like 'conflict%'") == "1");
  CHECK(with.now_gives(central_fixture::pending("consensus_results_queue")) == "1");
  with.stop_all();
}

TEST_CASE("handle_proposal_for_consensus: a large proposal that voters can be asked about is voted on") {
  central_fixture with("consensus_large");
  with.psql("select quantumflow.subscribe('voting_requests_queue', 'b')");
  with.heartbeats("a,b,c");
  with.start_consumers();
  propose_large(with, "large", max_bytes - 1000);
  REQUIRE(with.idle());
  CHECK(with.now_gives(status_of("large")) == "voting");
  CHECK(with.now_gives(central_fixture::pending("voting_requests_queue")) == "1");
}

TEST_CASE("timers: what fails is passed over, told of once in a while, and holds up nothing else") {
  central_fixture with("timed_failures");
  with.psql("select quantumflow.subscribe('voting_requests_queue', 'b')");
  with.heartbeats("a,b,c");
  // None can be read, each for its kind; behind each is one that can.
  const std::string body =
      R"('{"type":"proposal_for_consensus","instance_id":"a","agent_type":"T","code_change":{"patch":"x"},)"
      R"("impact_score":5,"risk_score":5,"safety_profile":{},"timestamp":"2026-01-01T00:00:00.000Z"}'::jsonb)";
  with.psql(
      "insert into centralcloud.proposal (proposal_id, instance_id, agent_type, body, received_at) select id, 'a', "
      "'T', " +
      body +
      " || jsonb_build_object('proposal_id', id) || case when id = 'bad' then '{\"risk_score\":\"high\"}' else '{}' "
      "end::jsonb,"
      " now() - case when id = 'bad' then 2 else 1 end * interval '1 hour' from unnest('{bad,good}'::text[]) id");
  with.psql(
      "insert into centralcloud.proposal (proposal_id, instance_id, agent_type, body, deadline) select id, 'a', 'T', "
      "'{}', now() - case when id = 'late bad' then 2 else 1 end * interval '1 minute' from unnest('{late bad,late "
      "good}'::text[]) id");
  with.psql(
      "insert into centralcloud.vote (proposal_id, instance_id, vote, confidence, reason, voted_at, counted) values "
      "('late bad', repeat('x', 300), 'approve', 1, 'r', now(), true)");
  with.psql(
      "insert into centralcloud.change (proposal_id, instance_id, agent_type, state, profile, received_at, "
      "watch_until) "
      "values ('late good', 'a', 'T', 'watching', '{}', now(), now())");
  const auto began = std::chrono::steady_clock::now();
  with.start_timers();
  CHECK(with.eventually(
            "select count(*) from centralcloud.proposal where proposal_id = 'good' and deadline is not null", "1") ==
        "1");
  CHECK(with.eventually("select proposal_id || ' ' || rule from centralcloud.decision", "late good timeout") ==
        "late good timeout");
  CHECK(with.eventually("select state from centralcloud.change", "confirmed") == "confirmed");
  CHECK(with.now_gives(status_of("bad")) == "voting");
  CHECK(with.now_gives(status_of("late bad")) == "voting");
  CHECK(with.running == 1);
  // Passed over for ten seconds each time, however long the others took.
  const auto most = 1 + (std::chrono::steady_clock::now() - began) / std::chrono::seconds(10);
  for (const auto* work : {"open", "decide"}) {
    CHECK(failures(with, work) >= 1);
    CHECK(failures(with, work) <= static_cast<double>(most));
  }
  CHECK(failures(with, "confirm") == 0);
  with.stop_all();
}
