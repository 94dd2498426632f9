#include "singularity_agent/proposals/proposal_scorer.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <random>
#include <vector>

namespace {

using namespace fleet::agent::proposals;
using namespace std::chrono_literals;
using fleet::base::decimal;

decimal number(std::string_view text) {
  return decimal::parse(text).value();
}

score_input example() {
  score_input input;
  input.impact = number("8");
  input.success_rate = number("0.95");
  input.cost_factor = number("2");
  input.risk = number("1");
  input.waiting = 2h;
  return input;
}

}  // namespace

TEST_CASE("proposal priority: the documented example") {
  CHECK(priority(example()) == Approx(3.8316667).epsilon(1e-6));
  CHECK(priority({}) == Approx(0.1));  // 5 × 0.5 / (5 × 5)
}

TEST_CASE("proposal priority: the cost has a floor") {
  auto input = example();
  input.waiting = 0ms;
  input.cost_factor = number("0.1");
  CHECK(priority(input) == Approx(76));
  input.cost_factor = number("0.05");
  CHECK(priority(input) == Approx(76));
  input.cost_factor = number("0");
  CHECK(priority(input) == Approx(76));
  input.cost_factor = number("0.2");
  CHECK(priority(input) == Approx(38));
}

TEST_CASE("proposal priority: waiting raises it by a tenth a day, a clock set back lowers nothing") {
  auto input = example();
  input.waiting = 0ms;
  const auto fresh = priority(input);
  input.waiting = -5h;
  CHECK(priority(input) == fresh);
  input.waiting = 24h;
  CHECK(priority(input) == Approx(fresh * 1.1));
  input.waiting = 240h;
  CHECK(priority(input) == Approx(fresh * 2));
}

TEST_CASE("proposal priority: an old proposal passes a better new one in time") {
  auto old_one = example();
  auto new_one = example();
  new_one.impact = number("9");
  new_one.waiting = 0ms;
  CHECK(priority(old_one) < priority(new_one));
  old_one.waiting = 48h;
  CHECK(priority(old_one) > priority(new_one));
}

TEST_CASE("proposal order: highest priority, then oldest, then by id, whatever the order of arrival") {
  const std::chrono::system_clock::time_point start{};
  const std::vector<queue_place> expected{
      {2.0, start + 5h, "a"}, {1.0, start, "d"}, {1.0, start + 1h, "b"}, {1.0, start + 1h, "c"}, {0.5, start, "e"}};
  std::mt19937 random(1);
  for (int round = 0; round < 50; ++round) {
    auto places = expected;
    std::shuffle(places.begin(), places.end(), random);
    std::sort(places.begin(), places.end(), goes_before);
    for (std::size_t i = 0; i < places.size(); ++i) REQUIRE(places[i].proposal_id == expected[i].proposal_id);
  }
}

TEST_CASE("proposal cost factor: by agent type, 5 where unknown") {
  const std::vector<std::pair<std::string, int>> documented{
      {"BugFixerAgent", 3},        {"RefactoringAgent", 2},   {"OptimizationAgent", 8}, {"DocumentationGenerator", 1},
      {"QualityCodeGenerator", 5}, {"FeatureSynthesizer", 7}, {"SomethingElse", 5},     {"", 5}};
  for (const auto& [agent_type, factor] : documented) {
    INFO(agent_type);
    CHECK(cost_factor_of(agent_type) == decimal::from_int(factor));
  }
  CHECK(cost_factor_of("Mine", {{"Mine", number("1.5")}}).str() == "1.5");
}

TEST_CASE("proposal success rate: from what ended, absent before") {
  CHECK_FALSE(success_rate_of({0, 0}));
  CHECK(success_rate_of({100, 95})->str() == "0.95");
  CHECK(success_rate_of({3, 2})->str() == "0.666667");
  CHECK(success_rate_of({3, 5})->str() == "1");
}
