#include "centralcloud_daemon/patterns/pattern_rules.hpp"

#include <catch2/catch.hpp>

namespace {

using namespace fleet::central::patterns;
using fleet::base::decimal;

decimal number(std::string_view text) {
  return decimal::parse(text).value();
}

pattern_evidence evidence(std::int64_t instances, std::int64_t reports, std::string_view sum, std::int64_t usage = 0) {
  return {instances, reports, number(sum), usage};
}

}  // namespace

TEST_CASE("patterns: confirmed by three distinct instances and a mean success rate of 0.95") {
  const pattern_settings settings;
  CHECK(is_confirmed(settings, evidence(3, 3, "2.85")));
  CHECK_FALSE(is_confirmed(settings, evidence(3, 3, "2.849999")));
  CHECK_FALSE(is_confirmed(settings, evidence(2, 5, "5")));
  CHECK_FALSE(is_confirmed(settings, evidence(3, 0, "0")));
  CHECK(mean_success_rate(evidence(3, 3, "2.85")).str() == "0.95");
  CHECK(mean_success_rate(evidence(0, 0, "0")).str() == "0");
}

TEST_CASE("patterns: promoted when confirmed and used a hundred times") {
  const pattern_settings settings;
  CHECK(is_promoted(settings, evidence(3, 3, "2.85", 100)));
  CHECK_FALSE(is_promoted(settings, evidence(3, 3, "2.85", 99)));
  CHECK_FALSE(is_promoted(settings, evidence(2, 3, "3", 1000)));
}

TEST_CASE("patterns: one pattern is one type and code alike enough") {
  const pattern_settings settings;
  code_shape nine_of_ten;
  code_shape ten;
  for (std::uint64_t i = 0; i < 10; ++i) ten.shingles.push_back(i);
  nine_of_ten.shingles.assign(ten.shingles.begin(), ten.shingles.end() - 1);
  ten.digest = "a";
  nine_of_ten.digest = "b";
  CHECK(similarity(ten, nine_of_ten).str() == "0.9");
  CHECK(same_pattern(settings, {"cache", ten}, {"cache", nine_of_ten}));
  CHECK_FALSE(same_pattern(settings, {"cache", ten}, {"retry", ten}));
  nine_of_ten.shingles.pop_back();
  CHECK_FALSE(same_pattern(settings, {"cache", ten}, {"cache", nine_of_ten}));
}

TEST_CASE("patterns: suggestions are the five best above their bounds") {
  const pattern_settings settings;
  CHECK(best_suggestions(settings,
                         {{"on the bound", number("0.75"), number("1")}, {"poor", number("1"), number("0.799999")}})
            .empty());
  const auto best = best_suggestions(settings, {{"f", number("0.750001"), number("0.8")},
                                                {"e", number("0.8"), number("0.8")},
                                                {"d", number("0.8"), number("0.8")},
                                                {"c", number("0.8"), number("0.9")},
                                                {"a", number("1"), number("0.8")},
                                                {"b", number("0.9"), number("1")}});
  std::string order;
  for (const auto& each : best) order += each.pattern_id;
  CHECK(order == "abcde");
  CHECK(best_suggestions(settings, {{"f", number("0.750001"), number("0.8")}}).size() == 1);
}
