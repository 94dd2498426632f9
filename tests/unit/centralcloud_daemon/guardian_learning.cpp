#include <algorithm>
#include <catch2/catch.hpp>
#include <random>

#include "centralcloud_daemon/guardian/learning.hpp"
#include "centralcloud_daemon/guardian/rules.hpp"

namespace {

using namespace fleet::central::guardian;
using fleet::base::decimal;

decimal number(std::string_view text) {
  return decimal::parse(text).value();
}

learning_rule rule_of(const std::string& metric) {
  for (const auto& each : default_learning().rules) {
    if (each.metric == metric) return each;
  }
  FAIL("no rule for " << metric);
  return {};
}

std::vector<decimal> one_to(std::int64_t last) {
  std::vector<decimal> samples;
  for (std::int64_t i = 1; i <= last; ++i) samples.push_back(decimal::from_int(i));
  return samples;
}

}  // namespace

TEST_CASE("learning: the percentile is the nearest rank") {
  CHECK(nearest_rank(one_to(100), 99).str() == "99");
  CHECK(nearest_rank(one_to(100), 1).str() == "1");
  CHECK(nearest_rank(one_to(101), 99).str() == "100");
  CHECK(nearest_rank(one_to(59), 99).str() == "59");
  CHECK(nearest_rank(one_to(200), 1).str() == "2");
  CHECK(nearest_rank(one_to(1), 50).str() == "1");
  CHECK(nearest_rank(one_to(5), 100).str() == "5");
}

TEST_CASE("learning: the threshold is the percentile and a margin") {
  const std::vector<decimal> fast(59, number("1000"));
  const auto latency = propose_threshold(rule_of("latency_p95_ms"), 59, number("3000"), fast);
  REQUIRE(latency);
  CHECK(latency->to.str() == "1200");
  CHECK(latency->from->str() == "3000");
  CHECK(latency->samples == 59);
  const std::vector<decimal> steady(59, number("0.97"));
  CHECK(propose_threshold(rule_of("success_rate"), 59, number("0.9"), steady)->to.str() == "0.95");
  CHECK_FALSE(propose_threshold(rule_of("success_rate"), 59, {}, steady)->from);
}

TEST_CASE("learning: nothing is learned from too few samples") {
  const auto rule = rule_of("latency_p95_ms");
  CHECK_FALSE(propose_threshold(rule, 59, number("3000"), std::vector<decimal>(58, number("10"))));
  CHECK(propose_threshold(rule, 59, number("3000"), std::vector<decimal>(59, number("10"))));
  CHECK_FALSE(propose_threshold(rule, 0, number("3000"), {}));
}

TEST_CASE("learning: a threshold moves only by more than the step") {
  const auto rule = rule_of("latency_p95_ms");
  const std::vector<decimal> samples(59, number("1000"));  // learned: 1200, step 50
  CHECK_FALSE(propose_threshold(rule, 59, number("1250"), samples));
  CHECK_FALSE(propose_threshold(rule, 59, number("1150"), samples));
  CHECK(propose_threshold(rule, 59, number("1250.000001"), samples));
  CHECK(propose_threshold(rule, 59, number("1149.999999"), samples));
}

TEST_CASE("learning: never looser than the ceiling, never stricter than the floor") {
  std::mt19937_64 random(5);
  for (const auto& rule : default_learning().rules) {
    for (int round = 0; round < 500; ++round) {
      std::vector<decimal> samples(60);
      const auto width = std::int64_t{1} << (random() % 62);
      for (auto& each : samples) {
        const auto value = static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(width));
        each = decimal::from_millionths(random() % 2 == 0 ? value : -value);
      }
      const auto update = propose_threshold(rule, 59, std::nullopt, samples);
      REQUIRE(update);
      INFO(rule.metric << " -> " << update->to.str());
      const auto [low, high] = std::minmax(rule.loosest, rule.strictest);
      REQUIRE(update->to >= low);
      REQUIRE(update->to <= high);
    }
  }
}

TEST_CASE("learning: contradicting settings end at the ceiling") {
  auto rule = rule_of("latency_p95_ms");
  rule.strictest = number("5000");
  CHECK(propose_threshold(rule, 1, std::nullopt, one_to(60))->to == rule.loosest);
  auto rate = rule_of("success_rate");
  rate.strictest = number("0.5");
  CHECK(propose_threshold(rate, 1, std::nullopt, one_to(60))->to == rate.loosest);
}

TEST_CASE("learning: the ceilings are the Guardian's default thresholds") {
  for (const auto& learned : default_learning().rules) {
    const auto rules = default_rules();
    const auto at = std::find_if(rules.begin(), rules.end(), [&](const rule& r) { return r.metric == learned.metric; });
    REQUIRE(at != rules.end());
    CHECK(at->threshold == learned.loosest);
  }
}

TEST_CASE("learning: updates name only the metrics that moved") {
  const auto updates =
      propose_updates(default_learning(), {{"latency_p95_ms", number("3000")}, {"error_rate", number("0.1")}},
                      {{"latency_p95_ms", std::vector<decimal>(60, number("100"))},
                       {"error_rate", std::vector<decimal>(60, number("0.09"))},
                       {"unknown", std::vector<decimal>(60, number("1"))}});
  REQUIRE(updates.size() == 1);
  CHECK(updates[0].metric == "latency_p95_ms");
  CHECK(updates[0].to.str() == "200");
}
