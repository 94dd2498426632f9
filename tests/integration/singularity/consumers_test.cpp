#include <catch2/catch.hpp>

#include "singularity_agent/patterns/suggestions.hpp"
#include "tests/integration/singularity/agent_fixture.hpp"

using namespace fleet;
using quantumflow::outcome;
using test::agent_fixture;

namespace {

std::string dead(const std::string& queue) {
  return "select reason || ': ' || error from quantumflow.list_dlq_messages('" + queue + "')";
}

boost::json::object parsed(const std::string& text) {
  return boost::json::parse(text).as_object();
}

}  // namespace

TEST_CASE(
    "handle_consensus_result: the decision is a step with its cause, and the same message again changes nothing") {
  agent_fixture with("agent_in_result");
  with.submit(agent_fixture::proposal("p1"));
  with.submit(agent_fixture::proposal("p2"));
  with.send_all();
  CHECK(with.handle(with.result("p1", "approved")).what == outcome::kind::done);
  CHECK(with.handle(with.result("p2", "rejected")).what == outcome::kind::done);
  CHECK(with.handle(with.result("p1", "approved")).what == outcome::kind::done);
  CHECK(with.handle(with.result("p1", "rejected")).what == outcome::kind::done);
  CHECK(with.status("p1") == "consensus_reached");
  CHECK(with.status("p2") == "consensus_failed");
  CHECK(with.ask("select cause from singularity.proposal_step where to_state = 'consensus_reached'") ==
        "consensus: 3 of 3");
  CHECK(with.events.counted(telemetry::event::consensus_approved) == 1);
  CHECK(with.events.counted(telemetry::event::consensus_rejected) == 1);
}

TEST_CASE("handle_consensus_result: a proposal whose id is another instance's has failed, and is in flight no more") {
  agent_fixture with("agent_in_conflict");
  with.submit(agent_fixture::proposal("p1"));
  with.send_all();
  const std::string in_flight = "select count(*) from singularity.proposal where status = 'sent_for_consensus'";
  CHECK(with.ask(in_flight) == "1");
  // As the coordinator sends it: without votes.
  auto refused = with.result("p1", "rejected");
  refused.votes.clear();
  refused.confidence = {};
  refused.rule = "conflict";
  refused.decision_rationale = "conflict: another instance has proposed something under this proposal_id before";
  const auto sent = boost::json::serialize(refused.encode());
  CHECK(with.handle(agent_fixture::decode<messages::consensus_result>(sent)).what == outcome::kind::done);
  CHECK(with.status("p1") == "consensus_failed");
  CHECK(with.ask(in_flight) == "0");
  CHECK_THAT(with.ask("select cause from singularity.proposal_step where to_state = 'consensus_failed'"),
             Catch::Contains("conflict: another instance"));
}

TEST_CASE("consumers: what a batch did that is rolled back and handled again is counted once") {
  agent_fixture with("agent_in_again");
  with.submit(agent_fixture::proposal("p1"));
  with.send_all();
  const auto decided = with.result("p1", "approved");
  const auto rolled_back = [&](postgres::transaction& open) -> boost::asio::awaitable<void> {
    const quantumflow::message none;
    co_await with.in->handle_consensus_result(open, decided, none);
    throw std::runtime_error("another message of the batch failed");
  };
  CHECK_THROWS_WITH(test::run(with.io, agent::transact(with.pool, rolled_back)), Catch::Contains("another message"));
  CHECK(with.events.counted(telemetry::event::consensus_approved) == 0);
  CHECK(with.handle(decided).what == outcome::kind::done);
  CHECK(with.events.counted(telemetry::event::consensus_approved) == 1);
}

TEST_CASE(
    "handle_consensus_result: an unknown, an unsent and another instance's proposal are rejected with the reason") {
  agent_fixture with("agent_in_result_wrong");
  with.submit(agent_fixture::proposal("unsent"));
  CHECK_THAT(with.handle(with.result("nobody", "approved")).error, Catch::Contains("no proposal 'nobody'"));
  CHECK_THAT(with.handle(with.result("unsent", "approved")).error, Catch::Contains("has not been sent"));
  auto foreign = with.result("unsent", "approved");
  foreign.instance_id = base::instance_id("agent-9");
  const auto answer = with.handle(foreign);
  CHECK(answer.what == outcome::kind::rejected);
  CHECK_THAT(answer.error, Catch::Contains("agent-9"));
}

TEST_CASE("consumers: a message that is malformed or names nothing known goes to the dead letters with its reason") {
  agent_fixture with("agent_in_dead");
  with.start_consumers();
  auto wrong = with.result("p1", "approved").encode();
  wrong["confidence"] = 2;
  with.publish("consensus_results_queue", wrong);
  CHECK(with.eventually("select count(*) from quantumflow.list_dlq_messages('consensus_results_queue') where reason = "
                        "'rejected' and error like 'confidence: %'",
                        "1") == "1");
  with.publish("rollback_triggers_queue", agent_fixture::trigger("nobody").encode());
  const std::string expected = "rejected: proposal_id: there is no proposal 'nobody' here";
  CHECK(with.eventually(dead("rollback_triggers_queue"), expected) == expected);
  with.publish("voting_requests_queue", parsed(R"({"type":"voting_request"})"));
  CHECK(with.eventually("select count(*) from quantumflow.list_dlq_messages('voting_requests_queue')", "1") == "1");
  with.publish("guardian_safety_profiles_queue", parsed(R"({"instance_id":"agent-1"})"));
  CHECK(with.eventually("select count(*) from quantumflow.list_dlq_messages('guardian_safety_profiles_queue')", "1") ==
        "1");
  with.publish("consensus_patterns_queue", parsed(R"({"type":"consensus_pattern"})"));
  CHECK(with.eventually("select count(*) from quantumflow.list_dlq_messages('consensus_patterns_queue')", "1") == "1");
}

TEST_CASE("handle_rollback_trigger: it is written down once; what was never approved is refused") {
  agent_fixture with("agent_in_trigger");
  with.approve("p1");
  with.submit(agent_fixture::proposal("p2"));
  CHECK(with.handle(agent_fixture::trigger("p1")).what == outcome::kind::done);
  CHECK(with.handle(agent_fixture::trigger("p1", "r2")).what == outcome::kind::done);
  CHECK(with.ask("select rollback_id, state from singularity.rollback") == "r1|requested");
  const auto refused = with.handle(agent_fixture::trigger("p2"));
  CHECK(refused.what == outcome::kind::rejected);
  CHECK_THAT(refused.error, Catch::Contains("nothing to take back"));
}

TEST_CASE("handle_voting_request: the policy votes in the same transaction, once") {
  agent_fixture with("agent_in_vote");
  const auto request = agent_fixture::decode<messages::voting_request>(agent_fixture::voting_request("p1"));
  with.handle(request);
  with.handle(request);
  const auto risky = agent_fixture::decode<messages::voting_request>(agent_fixture::voting_request("p2", "9"));
  with.handle(risky);
  CHECK(
      with.ask("select string_agg((payload ->> 'proposal_id') || ' ' || (payload ->> 'vote'), ',' order by message_id) "
               "from quantumflow.list_pending_messages('votes_for_consensus_queue')") == "p1 approve,p2 reject");
  CHECK(with.ask("select count(*) from singularity.vote_request where message_id is not null and answered_by = "
                 "'policy'") == "2");
}

TEST_CASE("handle_voting_request: after its deadline the request is kept and no vote is cast") {
  agent_fixture with("agent_in_vote_late");
  const auto late = agent_fixture::voting_request("p1", "2", "2020-01-01T00:00:00.000Z");
  with.handle(agent_fixture::decode<messages::voting_request>(late));
  CHECK(with.ask("select count(*), count(vote) from singularity.vote_request") == "1|0");
  CHECK(with.ask("select count(*) from quantumflow.list_pending_messages('votes_for_consensus_queue')") == "0");
}

TEST_CASE("voter: a person votes once; the same vote again is fine, another one and an unknown proposal are refused") {
  agent_fixture with("agent_vote_manual", "true", agent::voter_mode::manual);
  with.handle(agent_fixture::decode<messages::voting_request>(agent_fixture::voting_request("p1")));
  CHECK(with.ask("select count(*) from quantumflow.list_pending_messages('votes_for_consensus_queue')") == "0");
  agent::voting::vote_answer answer;
  answer.proposal = base::proposal_id("p1");
  answer.choice = messages::vote_choice::approve;
  answer.confidence = base::decimal::from_millionths(900'000);
  answer.reason = "looked at it";
  answer.answered_by = "person";
  CHECK(with.vote(answer));
  CHECK(with.vote(answer));
  answer.choice = messages::vote_choice::reject;
  CHECK(with.vote(answer).error().kind == base::error_kind::conflict);
  answer.proposal = base::proposal_id("p2");
  CHECK(with.vote(answer).error().kind == base::error_kind::not_found);
  CHECK(with.ask("select count(*) from quantumflow.list_pending_messages('votes_for_consensus_queue')") == "1");
}

TEST_CASE("voter: a command reads the request and its answer is cast; one that fails leaves the request to a person") {
  agent_fixture with("agent_vote_command", "true", agent::voter_mode::command);
  with.voter_settings.command =
      R"(grep -q '"proposal_id":"good"' && echo '{"vote":"reject","confidence":0.7,"reason":"r"}' || )"
      R"({ printf 'no \377 text\000' >&2; exit 1; })";
  with.make_voter();
  for (const auto* id : {"good", "bad"})
    with.handle(agent_fixture::decode<messages::voting_request>(agent_fixture::voting_request(id)));
  while (test::run(with.io, with.votes->answer_next(with.stop.token()))) {
  }
  CHECK(with.ask("select vote, confidence, answered_by from singularity.vote_request where proposal_id = 'good'") ==
        "reject|0.7|command");
  CHECK(with.ask(
            "select attempts, vote is null, problem like '%exit code 1%no ? text%' from singularity.vote_request where "
            "proposal_id = 'bad'") == "2|t|t");
}

TEST_CASE("handle_safety_profile_update: the newest profile stays, whatever the order") {
  agent_fixture with("agent_in_profile");
  const auto update = [&](const std::string& rate, const std::string& second) {
    const auto what = agent_fixture::decode<messages::safety_profile_update>(
        R"({"type":"safety_profile_update","instance_id":"broadcast","agent_type":"T","safety_profile":)"
        R"({"error_threshold":)" +
        rate + R"(},"source":"operator","timestamp":"2026-01-01T00:00:)" + second + R"(.000Z"})");
    const auto work = [&](postgres::transaction& open) {
      return with.in->handle_safety_profile_update(open, what, with.none);
    };
    return with.in_transaction(work).what;
  };
  CHECK(update("0.2", "02") == outcome::kind::done);
  CHECK(update("0.2", "02") == outcome::kind::done);
  CHECK(update("0.1", "01") == outcome::kind::done);
  CHECK(with.ask("select profile from singularity.safety_profile") == R"({"error_threshold": 0.2})");
}

TEST_CASE("handle_consensus_pattern: it is kept once and found again as a suggestion") {
  agent_fixture with("agent_in_pattern");
  const auto pattern = agent_fixture::decode<messages::consensus_pattern>(
      R"({"type":"consensus_pattern","pattern_id":"k1","pattern_type":"cache","code_pattern":{"before":"a b c",)"
      R"("after":"x","description":"d"},"success_rate":0.96,"consensus_score":0.9,"source_instances":["a","b","c"],)"
      R"("usage_count":7,"timestamp":"2026-01-01T00:00:00.000Z"})");
  for (int times = 0; times < 2; ++times) {
    const auto work = [&](postgres::transaction& open) {
      return with.in->handle_consensus_pattern(open, pattern, with.none);
    };
    CHECK(with.in_transaction(work).what == outcome::kind::done);
  }
  CHECK(with.ask("select pattern_id, usage_count from singularity.pattern") == "k1|7");
  const auto suggested = [&](const std::string& type, const std::string& code) {
    agent::patterns::pattern_query query;
    query.pattern_type = type;
    query.min_success_rate = agent::patterns::min_success_rate;
    const auto find = [&](postgres::transaction& open) { return with.patterns.list(open.on(), query); };
    return agent::patterns::suggest(code, with.in_transaction(find));
  };
  const auto found = suggested("cache", "a  b\nc");
  REQUIRE(found.size() == 1);
  const auto& suggestion = found[0].as_object();
  CHECK(suggestion.at("pattern_id") == "k1");
  CHECK(suggestion.at("similarity") == 1);
  CHECK(suggestion.at("usage_count") == 7);
  CHECK(suggestion.at("code_pattern").at("after") == "x");
  CHECK(suggestion.at("source_instances") == parsed(R"({"all":["a","b","c"]})").at("all"));
  CHECK(suggested("cache", "d e f").empty());
  CHECK(suggested("retry", "a b c").empty());
}

TEST_CASE("consumers: another instance's message and rows are left alone") {
  agent_fixture with("agent_in_foreign");
  with.submit(agent_fixture::proposal("p1"));
  CHECK(with.ask("select singularity.record_decision('agent-2', 'p1', '{\"status\":\"approved\"}')") == "unknown");
  CHECK(with.ask(
            "select singularity.submit('agent-2', (singularity.find_proposal('agent-1', 'p1')), 10) ->> 'outcome'") ==
        "other");
}
