#include <catch2/catch.hpp>

#include "common/messages/queues.hpp"
#include "common/postgres/error.hpp"
#include "tests/integration/centralcloud/central_fixture.hpp"

using namespace fleet;
using test::central_fixture;

namespace {

/// The only message that waits in the queue, decoded by the receiver's own decoder.
template <class M>
M only_message(central_fixture& with, std::string_view queue) {
  const auto read = [&]() -> boost::asio::awaitable<std::vector<quantumflow::pending_message>> {
    auto lease = co_await with.pool.acquire();
    co_return co_await quantumflow::list_pending_messages(*lease, std::string(queue));
  };
  const auto pending = test::run(with.io, read());
  REQUIRE(pending.size() == 1);
  const auto decoded = M::decode(pending.front().payload);
  if (!decoded) FAIL(decoded.error().message);
  return *decoded;
}

messages::consensus_result some_result() {
  messages::consensus_result result;
  result.proposal_id = base::proposal_id("p1");
  result.instance_id = base::instance_id("a");
  result.status = messages::consensus_status::approved;
  result.votes.emplace("b", messages::vote_choice::approve);
  result.confidence = base::decimal::from_millionths(850'000);
  result.decision_rationale = "all approve";
  result.rule = "consensus";
  return result;
}

}  // namespace

TEST_CASE("producers: a consensus result is visible to its instance, in the format of the reference") {
  central_fixture with("producers_result");
  const auto work = [&](postgres::transaction& open) { return with.out.send_consensus_result(open, some_result()); };
  const auto sent = with.in_own_transaction(work);
  REQUIRE(sent.has_value());
  const auto read = only_message<messages::consensus_result>(with, messages::queues::consensus_results);
  CHECK(read.status == messages::consensus_status::approved);
  CHECK(read.votes.at("b") == messages::vote_choice::approve);
  CHECK(read.confidence.str() == "0.85");
  CHECK(read.rule == "consensus");
  CHECK(with.now_gives("select recipient from quantumflow.list_pending_messages('consensus_results_queue')") == "a");
  CHECK(with.events.counted(telemetry::event::consensus_result_published) == 1);
}

TEST_CASE("producers: a rollback trigger carries threshold and strategy") {
  central_fixture with("producers_trigger");
  messages::rollback_trigger trigger;
  trigger.proposal_id = base::proposal_id("p1");
  trigger.instance_id = base::instance_id("a");
  trigger.reason = "error_rate_breach";
  trigger.threshold.bounds.emplace("error_rate", base::decimal::from_millionths(100'000));
  trigger.threshold.actual = base::decimal::from_millionths(150'000);
  trigger.rollback_id = "r1";
  trigger.strategy = messages::rollback_strategy();
  trigger.strategy->steps = {"revert_code"};
  const auto work = [&](postgres::transaction& open) { return with.out.send_rollback_trigger(open, trigger); };
  REQUIRE(with.in_own_transaction(work).has_value());
  const auto read = only_message<messages::rollback_trigger>(with, messages::queues::rollback_triggers);
  CHECK(read.threshold == trigger.threshold);
  CHECK(read.strategy->steps == trigger.strategy->steps);
  CHECK(with.events.counted(telemetry::event::rollback_trigger_published) == 1);
}

TEST_CASE("producers: a safety profile goes to one instance, or to every one") {
  central_fixture with("producers_profile");
  messages::safety_profile_update update;
  update.agent_type = "T";
  update.profile.latency_threshold = base::decimal::from_int(500);
  update.source = "operator";
  for (const auto* to : {"a", "broadcast"}) {
    update.instance_id = base::instance_id(to);
    const auto work = [&](postgres::transaction& open) { return with.out.send_safety_profile_update(open, update); };
    REQUIRE(with.in_own_transaction(work).has_value());
  }
  // The broadcast has no reader yet, so only what is addressed to somebody waits.
  const auto read = only_message<messages::safety_profile_update>(with, messages::queues::guardian_safety_profiles);
  CHECK(read.instance_id.str() == "a");
  CHECK(read.profile == update.profile);
  CHECK(with.events.counted(telemetry::event::profile_update_published) == 2);
}

TEST_CASE("producers: a safety profile has the database's time, whatever its coordinator's clock says") {
  central_fixture with("producers_profile_clock");
  struct : base::clock {
    base::timestamp now() const override { return base::system_clock().now() + std::chrono::hours(1); }
  } ahead;
  central::producers out(with.events, ahead);
  messages::safety_profile_update update;
  update.agent_type = "T";
  update.source = "operator";
  update.instance_id = base::instance_id("a");
  const auto work = [&](postgres::transaction& open) { return out.send_safety_profile_update(open, update); };
  REQUIRE(with.in_own_transaction(work).has_value());
  CHECK(
      with.now_gives("select (payload ->> 'timestamp')::timestamptz between now() - interval '1 minute' and now() from "
                     "quantumflow.list_pending_messages('guardian_safety_profiles_queue')") == "t");
}

TEST_CASE("producers: what goes to everyone is in the format of the reference") {
  central_fixture with("producers_broadcast");
  with.psql(
      "select quantumflow.subscribe(q, 'a') from unnest('{voting_requests_queue,consensus_patterns_queue}'::text[]) q");
  messages::voting_request request;
  request.proposal_id = base::proposal_id("p1");
  request.instance_id = base::instance_id("a");
  request.agent_type = "T";
  request.code_change["patch"] = "x";
  request.impact_score = request.risk_score = base::decimal::from_int(5);
  request.deadline = base::system_clock().now();
  messages::consensus_pattern pattern;
  pattern.pattern_id = "f";
  pattern.pattern_type = "t";
  pattern.pattern.after = "code";
  pattern.source_instances = {"a", "b"};
  messages::learning_loop_completed learned;
  learned.patterns_processed = 2;
  const auto work = [&](postgres::transaction& open) -> boost::asio::awaitable<bool> {
    const auto first = co_await with.out.send_voting_request(open, request);
    const auto second = co_await with.out.send_consensus_pattern(open, pattern);
    const auto third = co_await with.out.send_learning_loop_completed(open, learned);
    co_return first.has_value() && second.has_value() && third.has_value();
  };
  REQUIRE(with.in_own_transaction(work));
  CHECK(only_message<messages::voting_request>(with, messages::queues::voting_requests).deadline == request.deadline);
  CHECK(only_message<messages::consensus_pattern>(with, messages::queues::consensus_patterns).source_instances ==
        pattern.source_instances);
  CHECK(only_message<messages::learning_loop_completed>(with, messages::queues::learning_loop_completed)
            .patterns_processed == 2);
}

TEST_CASE("producers: a queue that is not there is an error that names it, and is counted") {
  central_fixture with("producers_no_queue");
  with.psql("update quantumflow.queue set name = 'gone' where name = 'consensus_results_queue'");
  const auto work = [&](postgres::transaction& open) -> boost::asio::awaitable<void> {
    co_await with.out.send_consensus_result(open, some_result());
  };
  // As the database said it, so that no message is blamed for it.
  CHECK_THROWS_AS(with.in_own_transaction(work), postgres::sql_error);
  CHECK_THROWS_WITH(with.in_own_transaction(work), Catch::Contains("consensus_results_queue"));
  CHECK(with.events.counted(telemetry::event::publish_failed) == 2);
  CHECK(with.events.counted(telemetry::event::consensus_result_published) == 0);
}

TEST_CASE("producers: a connection that died is an error, and nothing was published") {
  central_fixture with("producers_dead");
  const auto work = [&](postgres::transaction& open) -> boost::asio::awaitable<void> {
    with.psql("select pg_terminate_backend(" + std::to_string(open.on().backend_pid()) + ")");
    co_await with.out.send_consensus_result(open, some_result());
  };
  CHECK_THROWS_AS(with.in_own_transaction(work), postgres::sql_error);
  CHECK(with.now_gives(central_fixture::pending("consensus_results_queue")) == "0");
}
