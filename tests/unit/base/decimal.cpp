#include "common/base/decimal.hpp"

#include <catch2/catch.hpp>
#include <limits>
#include <string>
#include <utility>
#include <vector>

using fleet::base::decimal;

TEST_CASE("decimal: texts are read exactly, to whole millionths") {
  const std::vector<std::pair<std::string, std::int64_t>> cases{
      {"0", 0},
      {"-0", 0},
      {"0.85", 850'000},
      {"+0.85", 850'000},
      {".5", 500'000},
      {"5.", 5'000'000},
      {"-3", -3'000'000},
      {"000012.5", 12'500'000},
      {"1e-3", 1'000},
      {"12.5E2", 1'250'000'000},
      {"8.5e-1", 850'000},
      {"1e+2", 100'000'000},
      {"0e9999", 0},
      {"1e-9999", 0},
      {"0.000001", 1},
      {"123456789e-9", 123'457},
      {"9000000000000", 9'000'000'000'000'000'000},
      {"-9000000000000", -9'000'000'000'000'000'000},
  };
  for (const auto& [text, millionths] : cases) {
    CAPTURE(text);
    const auto number = decimal::parse(text);
    REQUIRE(number.has_value());
    CHECK(number->millionths() == millionths);
  }
}

TEST_CASE("decimal: more than six decimals are rounded half away from zero") {
  const std::vector<std::pair<std::string, std::int64_t>> cases{{"0.0000005", 1},
                                                                {"-0.0000005", -1},
                                                                {"0.0000004999", 0},
                                                                {"0.00000049", 0},
                                                                {"0.8500004", 850'000},
                                                                {"0.8500005", 850'001},
                                                                {"0.9999995", 1'000'000},
                                                                {"5e-7", 1},
                                                                {"4e-7", 0},
                                                                {"0.05e-5", 1},
                                                                {"9e-8", 0}};
  for (const auto& [text, millionths] : cases) {
    CAPTURE(text);
    REQUIRE(decimal::parse(text).has_value());
    CHECK(decimal::parse(text)->millionths() == millionths);
  }
}

TEST_CASE("decimal: what is no decimal number, or out of range, is refused") {
  const std::vector<std::string> cases{"",
                                       " ",
                                       ".",
                                       "-",
                                       "e5",
                                       "1e",
                                       "1e+",
                                       "1e99999",
                                       "1.2.3",
                                       "0x10",
                                       "1,5",
                                       " 1",
                                       "1 ",
                                       "NaN",
                                       "nan",
                                       "inf",
                                       "Infinity",
                                       "-Infinity",
                                       "--1",
                                       "1e1.5",
                                       "1e400",
                                       "9e12000",
                                       "9000000000001",
                                       "-9000000000001",
                                       "99999999999999999999",
                                       std::string(401, '1')};
  for (const auto& text : cases) {
    CAPTURE(text);
    CHECK(decimal::parse(text).has_error());
  }
}

TEST_CASE("decimal: the mean of .90, .85 and .80 is exactly .85") {
  const auto sum = *decimal::parse("0.90") + *decimal::parse("0.85") + *decimal::parse("0.80");
  const auto bound = *decimal::parse("0.85");
  CHECK(sum == bound + bound + bound);
  CHECK(*decimal::from_double(0.90) + *decimal::from_double(0.85) + *decimal::from_double(0.80) == sum);
}

TEST_CASE("decimal: a double gives the number of its shortest text") {
  CHECK(decimal::from_double(0.1)->millionths() == 100'000);
  CHECK(decimal::from_double(0.85)->millionths() == 850'000);
  CHECK(decimal::from_double(1e-7)->millionths() == 0);
  CHECK(decimal::from_double(-2.5)->millionths() == -2'500'000);
  CHECK(decimal::from_double(1e12)->millionths() == 1'000'000'000'000'000'000);
  CHECK(decimal::from_double(123456789.123456)->millionths() == 123'456'789'123'456);
  CHECK(decimal::from_double(1e13).has_error());
  CHECK(decimal::from_double(std::numeric_limits<double>::max()).has_error());
  CHECK(decimal::from_double(std::numeric_limits<double>::infinity()).has_error());
  CHECK(decimal::from_double(std::numeric_limits<double>::quiet_NaN()).has_error());
  CHECK(decimal::from_double(std::numeric_limits<double>::denorm_min())->millionths() == 0);
}

TEST_CASE("decimal: its text is the shortest and reads back as the same number") {
  const std::vector<std::pair<std::int64_t, std::string>> cases{{850'000, "0.85"}, {3'000'000, "3"}, {-500'000, "-0.5"},
                                                                {0, "0"},          {1, "0.000001"},  {-1, "-0.000001"}};
  for (const auto& [millionths, text] : cases) {
    CHECK(decimal::from_millionths(millionths).str() == text);
    CHECK(decimal::parse(text)->millionths() == millionths);
  }
  CHECK(decimal::from_millionths(std::numeric_limits<std::int64_t>::min()).str() == "-9223372036854.775808");
}

TEST_CASE("decimal: it is ordered by value") {
  CHECK(*decimal::parse("0.90") == *decimal::parse("0.9"));
  CHECK(*decimal::parse("0.900001") > *decimal::parse("0.9"));
  CHECK(*decimal::parse("-1") < decimal());
  CHECK(decimal::from_int(2) - decimal::from_int(3) == decimal::from_int(-1));
}
