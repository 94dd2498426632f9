// Decisions that no vote is needed for, on the history that a database holds; who may vote at all.
#include <catch2/catch.hpp>

#include "tests/integration/centralcloud/central_fixture.hpp"

using namespace fleet;
using test::central_fixture;

namespace {

struct deciding : central_fixture {
  explicit deciding(const std::string& database) : central_fixture(database) { heartbeats("a,b,c"); }

  void propose_code(const std::string& id, const std::string& code, const std::string& type = "T",
                    const std::string& risk = "3") {
    publish_text("proposals_for_consensus_queue",
                 R"({"type":"proposal_for_consensus","proposal_id":")" + id + R"(","instance_id":"a","agent_type":")" +
                     type + R"(","code_change":{"patch":")" + code + R"("},"impact_score":5,"risk_score":)" + risk +
                     R"(,"safety_profile":{},"metadata":{"change_type":"code_refactoring"},)"
                     R"("timestamp":"2026-01-01T00:00:00.000Z"})");
    REQUIRE(idle());
  }
  /// As if the fleet had approved it, and its observation had ended like that.
  void ended(const std::string& id, const std::string& state) {
    psql(
        "insert into centralcloud.change (proposal_id, instance_id, agent_type, change_type, state, profile, "
        "received_at, ended_at)"
        " select proposal_id, instance_id, agent_type, 'code_refactoring', '" +
        state + "', '{}', received_at, now() from centralcloud.proposal where proposal_id = '" + id + "'");
  }
  std::string how(const std::string& id) {
    return now_gives("select status || ' ' || coalesce(rule, '-') from centralcloud.proposals where proposal_id = '" +
                     id + "'");
  }
};

const std::string words = "total = 0 for each price in prices add price to total and answer total at the end";

}  // namespace

TEST_CASE("auto_approved: only a change that is like one of enough changes of its type that were confirmed safe") {
  deciding with("without_vote_auto");
  with.consensus_settings.rules.auto_approve = true;
  with.consensus_settings.rules.auto_approve_min_history = 2;
  with.start_consumers();
  for (const auto* id : {"h1", "h2", "taken_back"}) with.propose_code(id, words);
  with.ended("h1", "confirmed");
  with.ended("taken_back", "rolled_back");
  with.propose_code("too_few", words);
  CHECK(with.how("too_few") == "voting -");  // what was taken back is no history
  with.ended("h2", "confirmed");
  with.propose_code("same", words);
  CHECK(with.how("same") == "approved auto_approved");
  CHECK(
      with.now_gives("select payload ->> 'status' || ' ' || (payload ->> 'rule') || ' ' || (payload ->> 'votes') from "
                     "quantumflow.list_pending_messages('consensus_results_queue')") == "approved auto_approved {}");
  CHECK_THAT(
      with.now_gives(
          "select payload ->> 'decision_rationale' from quantumflow.list_pending_messages('consensus_results_queue')"),
      Catch::Contains("one of 2 changes"));
  with.propose_code("other", "sleep for a while and then delete everything that was found in the cache directory");
  CHECK(with.how("other") == "voting -");
  with.propose_code("other_type", words, "U");
  CHECK(with.how("other_type") == "voting -");
  with.propose_code("risky", words, "T", "8.1");
  CHECK(with.how("risky") == "voting -");
  with.consensus_settings.rules.auto_approve = false;
  with.propose_code("switched_off", words);
  CHECK(with.how("switched_off") == "voting -");
}

TEST_CASE("proposer_may_vote: whether who proposes is one of the electorate") {
  deciding with("without_vote_proposer");
  with.start_consumers();
  with.propose_code("yes", words);
  with.consensus_settings.proposer_may_vote = false;
  with.propose_code("no", words);
  const auto voters = [&](const std::string& id) {
    return with.now_gives(
        "select string_agg(v, ',' order by v) from jsonb_array_elements_text(centralcloud.proposal_story('" + id +
        "') -> 'voters') v");
  };
  CHECK(voters("yes") == "a,b,c");
  CHECK(voters("no") == "b,c");
  with.cast("no", "a", "approve", "0.9");
  REQUIRE(with.idle());
  CHECK(with.now_gives("select v ->> 'not_counted' from jsonb_array_elements(centralcloud.proposal_story('no') -> "
                       "'vote_list') v") == "not_in_electorate");
}
