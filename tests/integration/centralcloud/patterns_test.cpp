#include <catch2/catch.hpp>

#include "tests/integration/centralcloud/central_fixture.hpp"

using namespace fleet;
using test::central_fixture;

namespace {

void discover(central_fixture& with, const std::string& instance, const std::string& code, const std::string& usage,
              const std::string& rate = "0.97") {
  with.publish_text("patterns_for_aggregator_queue",
                    R"({"type":"pattern_discovered","instance_id":")" + instance +
                        R"(","pattern_type":"retry","code_pattern":{"before":"x","after":")" + code +
                        R"(","description":"d"},"success_rate":)" + rate + R"(,"agent_type":"T","usage_count":)" +
                        usage + R"(,"timestamp":"2026-01-01T00:00:00.000Z"})");
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
