#include <catch2/catch.hpp>

#include "centralcloud_daemon/guardian/strategy.hpp"

using fleet::central::guardian::strategy_for;
using steps = std::vector<std::string>;

TEST_CASE("rollback strategy: each change type has its documented steps") {
  struct row {
    std::string change_type;
    steps expected;
    std::int64_t seconds;
    bool person;
  };
  for (const auto& each :
       std::vector<row>{{"pattern_enhancement", {"revert_code", "clear_cache", "restart_agent"}, 15, false},
                        {"model_optimization", {"revert_model_config", "clear_cache"}, 5, false},
                        {"cache_improvement", {"revert_cache_config", "flush_cache"}, 10, false},
                        {"code_refactoring", {"git_revert", "restart_services"}, 30, true},
                        {"anything else", {"revert_code", "restart_agent"}, 20, true},
                        {"", {"revert_code", "restart_agent"}, 20, true}}) {
    INFO(each.change_type);
    const auto strategy = strategy_for(each.change_type);
    CHECK(strategy.steps == each.expected);
    CHECK(strategy.estimated_duration_sec == each.seconds);
    CHECK(strategy.requires_manual_intervention == each.person);
    CHECK_FALSE(strategy.success_rate);
    CHECK(strategy.learned_from_count == 0);
  }
}

TEST_CASE("rollback strategy: the success rate is what really happened") {
  const auto strategy = strategy_for("cache_improvement", {3, 2});
  REQUIRE(strategy.success_rate);
  CHECK(strategy.success_rate->str() == "0.666666");
  CHECK(strategy.learned_from_count == 3);
  CHECK(strategy_for("cache_improvement", {2, 0}).success_rate->str() == "0");
  CHECK(strategy_for("cache_improvement", {2, 2}).success_rate->str() == "1");
}
