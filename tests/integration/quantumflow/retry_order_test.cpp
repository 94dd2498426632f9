#include <catch2/catch.hpp>

#include "common/postgres/connection.hpp"
#include "tests/integration/quantumflow/queue_fixture.hpp"

using namespace fleet;
using namespace fleet::test;

namespace {

const std::string queue = "proposals_for_consensus_queue";

/// A session of a consumer or publisher in another language.
struct session {
  explicit session(queue_fixture& in) : fleet(in), on(run(in.io, postgres::connection::open(in.settings()))) {}
  std::string operator()(const std::string& sql) {
    const auto rows = run(fleet.io, on->query("select (" + sql + ")::text as answer"));
    return rows.front().get<std::optional<std::string>>("answer").value_or("");
  }
  void script(const std::string& sql) { run(fleet.io, on->run_script(sql)); }
  void publish(int n) {
    (*this)("quantumflow.publish('" + queue + "', '{\"proposal_id\": \"p\", \"n\": " + std::to_string(n) +
            "}'::jsonb)");
  }
  std::string take(int max = 100) {
    return (*this)("select string_agg(payload ->> 'n', ' ') from quantumflow.take('" + queue + "', 'centralcloud', " +
                   std::to_string(max) + ")");
  }

  queue_fixture& fleet;
  std::unique_ptr<postgres::connection> on;
};

}  // namespace

TEST_CASE("retries: what waits behind a failed message of its key stays behind it, whatever its transaction's number") {
  queue_fixture fleet("retry_order");
  session early(fleet), late(fleet), taker(fleet);
  // A lower xid, which commits later: messages are delivered in the order of commits.
  early.script("begin");
  early("pg_current_xact_id()");
  late.publish(1);
  taker.script("begin");
  taker("select quantumflow.fail(message_id, 'not now', 3, 60000) from quantumflow.take('" + queue +
        "', 'centralcloud', 1)");
  taker.script("commit");
  early.publish(2);
  early.script("commit");
  for (int look = 0; look < 3; ++look) {
    taker.script("begin");
    CHECK(taker.take() == "");
    taker.script("commit");
  }
  fleet.psql("update quantumflow.retry set due_at = now() - interval '1 hour'");
  taker.script("begin");
  CHECK(taker.take() == "1 2");
  taker.script("commit");
}

TEST_CASE("retries: cleaning up and a take that is under way do not wait for each other") {
  queue_fixture fleet("retry_cleaning");
  session taker(fleet), cleaner(fleet);
  taker.publish(1);
  taker.script("begin");
  taker("select quantumflow.fail(message_id, 'again', 3, 1) from quantumflow.take('" + queue + "', 'centralcloud')");
  taker.script("commit");
  std::string taken;
  for (int look = 0; look < 500 && taken.empty(); ++look) {
    taker("pg_sleep(0.01)");
    taker.script("begin");
    taken = taker.take();
    taker.script("commit");
  }
  REQUIRE(taken == "1");
  // Deletes the row that was taken, and stays open.
  taker.publish(2);
  taker.script("begin");
  CHECK(taker.take() == "2");
  cleaner.script("set lock_timeout = '500ms'");
  CHECK_NOTHROW(cleaner("quantumflow.trim_positions()"));
  taker.script("commit");
}

TEST_CASE("failing: only what this transaction took can be settled, and once") {
  queue_fixture fleet("settle_once");
  session taker(fleet);
  taker.publish(1);
  const std::string first = "(select min(msg_id) from quantumflow.message)";
  taker.script("begin");
  CHECK(taker.take() == "1");
  const auto in_hand = taker("current_setting('quantumflow.in_hand')");
  taker.script("commit");
  // Consumed: what is said to be in hand is not believed.
  taker.script("begin; select set_config('quantumflow.in_hand', '" + in_hand + "', true)");
  CHECK_THROWS_WITH(taker("quantumflow.reject(" + first + ", 'x')"),
                    Catch::Contains("was not taken in this transaction"));
  taker.script("rollback");
  taker.publish(2);
  const std::string second = "(select max(msg_id) from quantumflow.message)";
  taker.script("begin");
  CHECK(taker.take() == "2");
  taker("quantumflow.reject(" + second + ", 'x')");
  CHECK_THROWS_WITH(taker("quantumflow.reject(" + second + ", 'x')"), Catch::Contains("settled already"));
  taker.script("rollback");
}

TEST_CASE("subscribe: a reader gets what the same transaction publishes after it") {
  queue_fixture fleet("subscribe_then_publish");
  session other(fleet), one(fleet);
  one.script("begin");
  one("pg_current_xact_id()");
  other.publish(1);  // ends later than ours began
  one("quantumflow.subscribe('consensus_patterns_queue', 'me')");
  one("quantumflow.publish('consensus_patterns_queue', '{\"pattern_id\": \"x\"}'::jsonb)");
  one.script("commit; begin");
  CHECK(one("select count(*) from quantumflow.take('consensus_patterns_queue', 'me')") == "1");
  one.script("commit");
}

TEST_CASE("publish once: a producer that was trimmed goes on, and its row is gone while it is silent") {
  queue_fixture fleet("producer_rows");
  session one(fleet);
  one("quantumflow.publish_once('p', 1, '" + queue + "', array['{\"proposal_id\": \"p\", \"n\": 1}'])");
  fleet.psql("update quantumflow.producer_position set at = at - interval '8 days'");
  fleet.psql("select quantumflow.trim_positions()");
  CHECK(fleet.psql("select count(*) from quantumflow.producer") == "0");
  one("quantumflow.publish_once('p', 2, '" + queue + "', array['{\"proposal_id\": \"p\", \"n\": 2}'])");
  CHECK(fleet.psql("select count(*) from quantumflow.producer") == "1");
}
