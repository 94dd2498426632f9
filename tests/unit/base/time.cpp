#include "common/base/time.hpp"

#include <catch2/catch.hpp>
#include <string>
#include <utility>
#include <vector>

using namespace fleet::base;

TEST_CASE("time: texts of RFC 3339 are read, with any offset, in UTC") {
  const std::vector<std::pair<std::string, std::string>> cases{
      {"2026-01-31T12:00:00Z", "2026-01-31T12:00:00.000000Z"},
      {"2026-01-31T12:00:00.1Z", "2026-01-31T12:00:00.100000Z"},
      {"2026-01-31T12:00:00.123456Z", "2026-01-31T12:00:00.123456Z"},
      {"2026-01-31T12:00:00.123456999Z", "2026-01-31T12:00:00.123456Z"},
      {"2026-01-31t12:00:00z", "2026-01-31T12:00:00.000000Z"},
      {"2026-01-31 12:00:00+00:00", "2026-01-31T12:00:00.000000Z"},
      {"2026-01-31T00:30:00+02:00", "2026-01-30T22:30:00.000000Z"},
      {"2025-12-31T23:30:00-01:00", "2026-01-01T00:30:00.000000Z"},
      {"2024-02-29T00:00:00Z", "2024-02-29T00:00:00.000000Z"},
      {"2016-12-31T23:59:60Z", "2017-01-01T00:00:00.000000Z"},
      {"1969-12-31T23:59:59.5Z", "1969-12-31T23:59:59.500000Z"},
      {"0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000000Z"},
      {"9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"},
  };
  for (const auto& [text, utc] : cases) {
    CAPTURE(text);
    const auto at = parse_rfc3339(text);
    REQUIRE(at.has_value());
    CHECK(format_rfc3339(*at) == utc);
    CHECK(parse_rfc3339(utc).value() == *at);
  }
}

TEST_CASE("time: anything else is refused") {
  const std::vector<std::string> cases{"",
                                       "2026-01-31",
                                       "2026-01-31T12:00Z",
                                       "2026-01-31T12:00:00",
                                       "2026-01-31T12:00:00.Z",
                                       "2026-01-31T12:00:00Zx",
                                       "2026-01-31T12:00:00+0100",
                                       "2026-01-31T12:00:00+24:00",
                                       "2026-01-31T12:00:00+01:60",
                                       "2026-02-30T12:00:00Z",
                                       "2025-02-29T12:00:00Z",
                                       "2026-13-01T12:00:00Z",
                                       "2026-00-01T12:00:00Z",
                                       "2026-01-31T24:00:00Z",
                                       "2026-01-31T12:60:00Z",
                                       "2026-01-31T12:00:61Z",
                                       "26-01-31T12:00:00Z",
                                       "-026-01-31T12:00:00Z",
                                       " 2026-01-31T12:00:00Z",
                                       "1769860800",
                                       "0000-06-01T00:00:00Z",
                                       "0001-01-01T00:00:00+01:00",
                                       "9999-12-31T23:59:59-01:00"};
  for (const auto& text : cases) {
    CAPTURE(text);
    CHECK(parse_rfc3339(text).has_error());
  }
}

TEST_CASE("time: the real clock goes on, in microseconds") {
  const auto first = system_clock().now();
  CHECK(first > parse_rfc3339("2024-01-01T00:00:00Z").value());
  CHECK(parse_rfc3339(format_rfc3339(first)).value() == first);
}
