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
  const std::string ten = "a b c d e f g h i j k l";  // shingles
  const std::vector<known_pattern> eight{{"eight", "a b c d e f g h i j"}};
  const std::vector<known_pattern> nine{{"eight", "a b c d e f g h i j"}, {"nine", "a b c d e f g h i j k"}};
  const std::vector<known_pattern> all{{"nine", "a b c d e f g h i j k"}, {"ten", ten}, {"again", ten}};
  CHECK(similarity(ten, nine.back().code).str() == "0.9");
  CHECK(pattern_of(settings, ten, eight) == std::nullopt);
  CHECK(pattern_of(settings, ten, nine) == "nine");
  CHECK(pattern_of(settings, ten, all) == "ten");
}

TEST_CASE("patterns: code that is too long is not compared") {
  const pattern_settings settings;
  const std::string longest(max_compared_bytes, 'x');
  const std::vector<known_pattern> known{{"over", longest + "x"}, {"at", longest}};
  CHECK(pattern_of(settings, longest, known) == "at");
  CHECK(pattern_of(settings, longest + "x", known) == std::nullopt);
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
