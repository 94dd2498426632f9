// What is held of an agent type: whose word counts, and who is told of it.
#include <catch2/catch.hpp>
#include <string>

#include "tests/integration/centralcloud/central_fixture.hpp"

using namespace fleet;
using test::central_fixture;

namespace {

const std::string without_vote = R"("needs_consensus":false,"max_risk_score":9)";

void hold(const central_fixture& with, const std::string& profile, const std::string& source = "operator") {
  with.psql("select centralcloud.set_safety_profile('T', '', '" + profile + "', '" + source + "', 'test')");
}
std::string status_of(const std::string& id) {
  return "select status || coalesce(' ' || rule, '') from centralcloud.proposals where proposal_id = '" + id + "'";
}
/// As the sample of a confirmed change that measured it.
void learn_from(central_fixture& with, const std::string& id, const std::string& measured) {
  with.propose(id, "{" + without_vote + R"(,"observation_window_seconds":60})");
  REQUIRE(with.idle());
  with.report(id, "applied", measured, 1);
  REQUIRE(with.idle());
  with.psql("update centralcloud.change set watch_until = clock_timestamp() where proposal_id = '" + id + "'");
  const auto due = [&](postgres::transaction& open) { return with.changes.confirm_due(open, with.piece); };
  REQUIRE(with.in_own_transaction(due));
}
std::string held(central_fixture& with, const std::string& field) {
  return with.now_gives("select coalesce(profile ->> '" + field + "', 'none') from centralcloud.safety_profile");
}

const std::string updates = central_fixture::pending("guardian_safety_profiles_queue");

}  // namespace

TEST_CASE("learning: a bound that an operator set last stays, and nobody is told of nothing") {
  central_fixture with("profiles_learning");
  with.psql("select quantumflow.subscribe('guardian_safety_profiles_queue', 'a')");
  with.guardian_settings.learning.min_samples = 1;
  with.start_consumers();
  hold(with, R"({"error_threshold": 0.02})");
  learn_from(with, "p1", R"({"error_rate":0.015})");
  CHECK(held(with, "error_threshold") == "0.02");
  CHECK(with.now_gives(updates) == "0");
  // What was not set is learned beside it.
  learn_from(with, "p2", R"({"error_rate":0.015,"latency_p95_ms":200})");
  CHECK(held(with, "error_threshold") == "0.02");
  CHECK(with.now_gives("select (profile ->> 'latency_threshold')::numeric < 3000 from centralcloud.safety_profile") ==
        "t");
  CHECK(with.now_gives(updates) == "1");
  // An operator takes it back: it is learned from then on.
  hold(with, R"({"cost_threshold": 9})");
  learn_from(with, "p3", R"({"error_rate":0.015})");
  CHECK(held(with, "error_threshold") != "none");
  CHECK(held(with, "cost_threshold") == "9");
}

TEST_CASE("receive_proposal: where an operator has said something, a proposal does not say whether it needs a vote") {
  central_fixture with("profiles_vote");
  with.heartbeats("a,b,c");
  with.start_consumers();
  const auto proposed = [&](const std::string& id, const std::string& risk) {
    with.propose(id, "{" + without_vote + "}", risk);
    REQUIRE(with.idle());
    return with.now_gives(status_of(id));
  };
  // What was learned says nothing of it.
  hold(with, R"({"error_threshold": 0.05})", "guardian_learning");
  CHECK(proposed("learned", "5") == "approved not_required");
  hold(with, R"({"error_threshold": 0.05})");
  CHECK(proposed("held", "2") == "voting");
  // The bound up to which no vote is needed is the operator's to set, too: by default 3.
  hold(with, R"({"needs_consensus": false})");
  CHECK(proposed("low", "3") == "approved not_required");
  CHECK(proposed("high", "5") == "voting");
  hold(with, R"({"needs_consensus": false, "max_risk_score": 6})");
  CHECK(proposed("allowed", "5") == "approved not_required");
  // Learning afterwards leaves it so.
  with.psql(
      "select centralcloud.add_to_safety_profile('T', '{\"latency_threshold\": 900}', 'guardian_learning', 'test')");
  hold(with, R"({})", "guardian_learning");
  CHECK(proposed("learned later", "2") == "voting");
}

TEST_CASE("watch: where an operator has said something, a proposal does not switch its rollback off") {
  central_fixture with("profiles_rollback");
  with.start_consumers();
  const auto harmful = [&](const std::string& id) {
    with.propose(id, "{" + without_vote + R"(,"auto_rollback":false})");
    REQUIRE(with.idle());
    with.report(id, "applied", R"({"error_rate":0.5})", 1);
    REQUIRE(with.idle());
    return with.now_gives("select change_state from centralcloud.proposals where proposal_id = '" + id + "'");
  };
  CHECK(harmful("p1") == "watching");
  hold(with, R"({"cost_threshold": 9})");
  CHECK(harmful("p2") == "rollback_triggered");
  hold(with, R"({"auto_rollback": false})");
  CHECK(harmful("p3") == "watching");
}

TEST_CASE("timers: an instance that is new, or was away for long, is sent all that is held, once") {
  central_fixture with("profiles_told");
  hold(with, R"({"error_threshold": 0.05})");
  with.psql(
      "select centralcloud.set_safety_profile('U', '', '{\"cost_threshold\": 3}', 'guardian_learning', 'test'),"
      "centralcloud.set_safety_profile('U', 'a', '{\"latency_threshold\": 9}', 'operator', 'test'),"
      "centralcloud.set_safety_profile('V', 'b', '{\"latency_threshold\": 9}', 'operator', 'test')");
  with.heartbeats("a,not_listening");
  with.start_timers();
  with.psql("select quantumflow.subscribe('guardian_safety_profiles_queue', 'a')");
  CHECK(with.eventually(updates, "2") == "2");
  CHECK(with.now_gives("select string_agg(format('%s %s %s %s', recipient, payload ->> 'instance_id', payload ->> "
                       "'agent_type', payload -> 'safety_profile'), ', ' order by payload ->> 'agent_type') from "
                       "quantumflow.list_pending_messages('guardian_safety_profiles_queue')") ==
        R"(a a T {"error_threshold": 0.05}, a a U {"cost_threshold": 3, "latency_threshold": 9})");
  with.heartbeats("a");
  CHECK(with.eventually("select string_agg(instance_id, ',') from centralcloud.instance where profiles_told", "a") ==
        "a");
  with.psql("update centralcloud.instance set last_seen_at = now() - interval '2 hours' where instance_id = 'a'");
  with.heartbeats("a");
  CHECK(with.eventually(updates, "4") == "4");
  with.stop_all();
}
