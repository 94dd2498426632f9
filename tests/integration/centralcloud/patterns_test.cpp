#include <catch2/catch.hpp>

#include "tests/integration/centralcloud/central_fixture.hpp"

using namespace fleet;
using test::central_fixture;

namespace {

void discover(central_fixture& with, const std::string& instance, const std::string& code, const std::string& usage,
              const std::string& rate = "0.97", const std::string& traceparent = "") {
  with.publish_text("patterns_for_aggregator_queue",
                    R"({"type":"pattern_discovered","instance_id":")" + instance +
                        R"(","pattern_type":"retry","code_pattern":{"before":"x","after":")" + code +
                        R"(","description":"d"},"success_rate":)" + rate + R"(,"agent_type":"T","usage_count":)" +
                        usage + R"(,"traceparent":")" + traceparent + R"(","timestamp":"2026-01-01T00:00:00.000Z"})");
}

const std::string code = "for (int i = 0; i < 3; ++i) { if (try_once(request, deadline)) return true; wait(i); }";

}  // namespace

TEST_CASE("handle_pattern_discovered: reports that differ in layout are one pattern; three instances confirm it once") {
  central_fixture with("patterns_merge");
  with.psql("select quantumflow.subscribe('consensus_patterns_queue', 'a')");
  with.start_consumers();
  discover(with, "a", code, "40");
  discover(with, "a", code, "40");
  discover(with, "b", "for (int i = 0;  i < 3; ++i)  { if (try_once(request, deadline)) return true; wait(i); }", "40");
  REQUIRE(with.idle());
  CHECK(with.now_gives("select state || ' ' || instances || ' ' || usage_count from centralcloud.patterns") ==
        "observed 2 80");
  discover(with, "c", code, "10");
  REQUIRE(with.idle());
  CHECK(with.now_gives("select state || ' ' || instances from centralcloud.patterns") == "confirmed 3");
  CHECK(with.now_gives("select payload -> 'source_instances' from "
                       "quantumflow.list_pending_messages('consensus_patterns_queue')") == R"(["a", "b", "c"])");
  CHECK(with.now_gives(central_fixture::pending("learning_loop_completed_queue")) == "0");
  discover(with, "d", code, "20");
  REQUIRE(with.idle());
  CHECK(with.now_gives("select state from centralcloud.patterns") == "promoted");
  CHECK(with.now_gives(central_fixture::pending("consensus_patterns_queue")) == "1");
  CHECK(with.now_gives(central_fixture::pending("learning_loop_completed_queue")) == "1");
}

TEST_CASE("aggregator: comparing with hundreds of long codes does not hold up the loop; longer ones are left out") {
  central_fixture with("patterns_long");
  // 500 of 64 kB, and one that is too long to be compared. Each has its own words.
  with.psql(
      "insert into centralcloud.pattern (pattern_id, pattern_type, code_pattern, code) select 'p' || n, 'retry', '{}', "
      "(select string_agg(chr(97 + (k * n) % 26) || k % 10, '+' order by k) from generate_series(1, 20000) k) || "
      "case when n > 500 then repeat(' ', 8000) else '' end from generate_series(1, 501) n");
  CHECK(with.now_gives("select count(*), max(octet_length(code)) < 65536 from centralcloud.pattern_candidates('retry', "
                       "65536, 1000)") == "500|t");
  messages::pattern_discovered report;
  report.instance_id = base::instance_id("a");
  report.pattern_type = "retry";
  report.pattern.after = code;
  report.agent_type = "T";
  report.timestamp = base::system_clock().now();
  using clock = std::chrono::steady_clock;
  auto turned = clock::now();
  clock::duration longest{};
  bool over = false;
  const auto turn = [&]() -> boost::asio::awaitable<void> {
    boost::asio::steady_timer timer(with.io);
    while (!over) {
      longest = std::max(longest, clock::now() - turned);
      turned = clock::now();
      timer.expires_after(std::chrono::milliseconds(1));
      co_await timer.async_wait(boost::asio::use_awaitable);
    }
  };
  boost::asio::co_spawn(with.io, turn(), boost::asio::detached);
  const auto receive = [&](postgres::transaction& open) { return with.patterns.receive_report(open, report); };
  const auto began = clock::now();
  CHECK(with.in_own_transaction(receive).what == quantumflow::outcome::kind::done);
  const auto took = clock::now() - began;
  over = true;
  using ms = std::chrono::milliseconds;
  INFO("took " << std::chrono::duration_cast<ms>(took).count() << " ms, longest turn "
               << std::chrono::duration_cast<ms>(longest).count() << " ms");
  CHECK(longest * 3 < took);
  CHECK(with.now_gives("select count(*) from centralcloud.pattern") == "502");
}

TEST_CASE("handle_pattern_discovered: counts of use that do not fit together still come to something") {
  central_fixture with("patterns_usage");
  with.psql(
      "select centralcloud.record_pattern('p', 'f', 'retry', '{}', 'x', i, 'T', 1, 9223372036854775807, now()) from "
      "unnest('{a,b}'::text[]) i");
  CHECK(with.now_gives("select total_usage from centralcloud.record_pattern('p', 'f', 'retry', '{}', 'x', 'c', 'T', 1, "
                       "9223372036854775807, now())") == "9223372036854775807");
  with.start_consumers();
  discover(with, "a", code, "9223372036854775807");
  REQUIRE(with.idle());
  CHECK_THAT(with.now_gives("select error from quantumflow.list_dlq_messages()"),
             Catch::Contains("usage_count") && Catch::Contains("from 0 to 1000000000000"));
}

TEST_CASE("handle_pattern_discovered: other code is another pattern, and a low rate confirms nothing") {
  central_fixture with("patterns_apart");
  with.start_consumers();
  discover(with, "a", code, "1", "0.90");
  discover(with, "b", code, "1", "0.94");
  discover(with, "c", code, "1", "0.95");
  discover(with, "a", "cache.put(key, value); return cache.size() < limit ? value : evict(oldest(cache), key);", "1");
  REQUIRE(with.idle());
  CHECK(with.now_gives("select count(*) || ' ' || string_agg(distinct state, ',') from centralcloud.patterns") ==
        "2 observed");
}

TEST_CASE("handle_pattern_discovered: what a report leads to carries its trace, or one of its own") {
  central_fixture with("patterns_trace");
  with.psql("select quantumflow.subscribe('consensus_patterns_queue', 'a')");
  with.start_consumers();
  const std::string trace_id = "4bf92f3577b34da6a3ce929d0e0e4736";
  const auto traces = [&](const std::string& queue) {
    return with.now_gives(
        "select string_agg(substr(payload ->> 'traceparent', 4, 32), ' ' order by message_id) from "
        "quantumflow.list_pending_messages('" +
        queue + "')");
  };
  discover(with, "a", code, "40", "0.97", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
  discover(with, "b", code, "40");
  discover(with, "c", code, "10", "0.97", "00-" + trace_id + "-00f067aa0ba902b7-01");
  REQUIRE(with.idle());
  // The report that was the last one needed is what the others learn it from.
  CHECK(traces("consensus_patterns_queue") == trace_id);
  CHECK(with.now_gives("select payload ->> 'traceparent' like '%-00f067aa0ba902b7-%' from "
                       "quantumflow.list_pending_messages('consensus_patterns_queue')") == "f");
  discover(with, "d", code, "20");
  REQUIRE(with.idle());
  const auto own = traces("learning_loop_completed_queue");
  CHECK(own.size() == 32);
  CHECK(own != trace_id);
}
