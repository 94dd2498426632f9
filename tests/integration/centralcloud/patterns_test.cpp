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
