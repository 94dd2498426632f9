#include <catch2/catch.hpp>

#include "common/messages/queues.hpp"
#include "common/postgres/error.hpp"
#include "tests/integration/singularity/agent_fixture.hpp"
#include "tests/support/results.hpp"

using namespace fleet;
using test::agent_fixture;

namespace {

/// The only message that waits in the queue, decoded by the receiver's own decoder.
template <class M>
M only_message(agent_fixture& with, std::string_view queue) {
  const auto read = [&]() -> boost::asio::awaitable<std::vector<quantumflow::pending_message>> {
    auto lease = co_await with.pool.acquire();
    co_return co_await quantumflow::list_pending_messages(*lease, std::string(queue));
  };
  const auto pending = test::run(with.io, read());
  REQUIRE(pending.size() == 1);
  const auto decoded = M::decode(pending.front().payload);
  REQUIRE(decoded);
  return *decoded;
}

messages::proposal_for_consensus some_proposal() {
  messages::proposal_for_consensus proposal;
  proposal.proposal_id = base::proposal_id("p1");
  proposal.agent_type = "BugFixerAgent";
  proposal.code_change["patch"] = "x";
  proposal.impact_score = base::decimal::from_int(8);
  proposal.risk_score = base::decimal::from_int(2);
  return proposal;
}

}  // namespace

TEST_CASE("producers: a proposal is published as this instance's, in the format of the reference") {
  agent_fixture with("agent_out_proposal");
  const auto work = [&](postgres::transaction& in) { return with.out.propose_for_consensus(in, some_proposal()); };
  REQUIRE(with.in_transaction(work));
  const auto read = only_message<messages::proposal_for_consensus>(with, messages::queues::proposals_for_consensus);
  CHECK(read.proposal_id.str() == "p1");
  CHECK(read.instance_id == with.self);
  CHECK(read.impact_score.str() == "8");
  CHECK(with.events.counted(telemetry::event::proposal_published) == 1);
}

TEST_CASE("producers: metrics, patterns and votes are published in the format of the reference") {
  agent_fixture with("agent_out_others");
  messages::execution_metrics metrics;
  metrics.proposal_id = base::proposal_id("p1");
  metrics.agent_type = "T";
  metrics.metrics_after["error_rate"] = base::decimal::from_millionths(20'000);
  metrics.status = messages::execution_status::applied;
  messages::pattern_discovered pattern;
  pattern.pattern_type = "cache";
  pattern.pattern = {"a", "b", "c", {}, {}, {}};
  pattern.agent_type = "T";
  messages::vote vote;
  vote.proposal_id = base::proposal_id("p1");
  vote.choice = messages::vote_choice::approve;
  vote.confidence = base::decimal::from_millionths(900'000);
  const auto work = [&](postgres::transaction& in) -> boost::asio::awaitable<void> {
    agent::value_or_throw(co_await with.out.report_metrics_to_guardian(in, metrics));
    agent::value_or_throw(co_await with.out.report_pattern_to_aggregator(in, pattern));
    agent::value_or_throw(co_await with.out.cast_vote(in, vote));
  };
  with.in_transaction(work);
  namespace queues = messages::queues;
  const auto sample = only_message<messages::execution_metrics>(with, queues::metrics_to_guardian);
  CHECK(sample.instance_id == with.self);
  CHECK(sample.metrics_after.at("error_rate").str() == "0.02");
  CHECK(only_message<messages::pattern_discovered>(with, queues::patterns_for_aggregator).pattern.before == "a");
  CHECK(only_message<messages::vote>(with, queues::votes_for_consensus).confidence.str() == "0.9");
  for (const auto event :
       {telemetry::event::metrics_published, telemetry::event::pattern_published, telemetry::event::vote_published}) {
    CHECK(with.events.counted(event) == 1);
  }
}

TEST_CASE("producers: what the database refuses is an error that says why, and is counted") {
  agent_fixture with("agent_out_refused");
  with.psql("update quantumflow.queue set max_payload_bytes = 10");
  const auto work = [&](postgres::transaction& in) -> boost::asio::awaitable<base::result<base::message_id>> {
    auto sent = co_await with.out.propose_for_consensus(in, some_proposal());
    co_await in.rollback();
    co_return sent;
  };
  const auto refused = with.in_transaction(work);
  REQUIRE(!refused);
  CHECK_THAT(refused.error().message, Catch::Contains("payload: expected at most 10 bytes"));
  CHECK(with.events.counted(telemetry::event::publish_failed) == 1);
  CHECK(with.events.counted(telemetry::event::proposal_published) == 0);
}

TEST_CASE("producers: metrics that cannot be published fail nothing and are set aside with the reason") {
  agent_fixture with("agent_out_metrics");
  with.approve("p1");
  REQUIRE(with.execute());
  with.psql("update quantumflow.queue set max_payload_bytes = 10");
  with.report_all();
  CHECK(with.status("p1") == "applied");
  CHECK(with.ask("select count(*) from singularity.sample where problem like '%payload%'") == "2");
  CHECK(with.events.counted(telemetry::event::publish_failed) == 2);
}

TEST_CASE("producers: metrics wait for a database that cannot take them for the moment, and go out then") {
  agent_fixture with("agent_out_waits");
  with.approve("p1");
  REQUIRE(with.execute());
  const auto report = [&] { test::run(with.io, with.reporter.report_batch()); };
  const std::string publish = "alter function quantumflow.publish(text, text, text, text) rename to ";
  with.psql(publish + "away");
  CHECK_THROWS_AS(report(), postgres::sql_error);
  with.psql("alter function quantumflow.away(text, text, text, text) rename to publish");
  with.psql(
      "create function public.no_memory() returns trigger language plpgsql as $$ "
      "begin raise 'out of memory' using errcode = '53200'; end $$; "
      "create trigger no_memory before insert on quantumflow.message_0 execute function public.no_memory()");
  CHECK_THROWS_AS(report(), postgres::sql_error);
  with.psql("drop function public.no_memory cascade");
  with.report_all();
  CHECK(with.ask("select count(*) filter (where message_id is not null), count(problem) from singularity.sample") ==
        "2|0");
}
