#include "common/postgres/params.hpp"

#include <catch2/catch.hpp>
#include <limits>

#include "common/postgres/rows.hpp"

using fleet::postgres::make_params;
using fleet::postgres::params;
using text = std::optional<std::string>;

TEST_CASE("params: every type has its text form") {
  const auto time = fleet::base::parse_rfc3339("2026-01-31T12:00:00.5Z");
  REQUIRE(time.has_value());
  const boost::json::object json{{"a", 1}};
  const std::string name = "name";
  const auto made = make_params(true, 7, std::int64_t{-9}, std::numeric_limits<std::uint64_t>::max(), 0.1,
                                *fleet::base::decimal::parse("0.85"), *time, name, "literal", std::string_view("view"),
                                std::optional<int>(), std::optional<std::string>("set"), std::nullopt, json,
                                fleet::base::proposal_id("p"), fleet::base::message_id{5});
  const std::vector<text> expected = {
      "t",    "7",       "-9",   "18446744073709551615", "0.1", "0.85",       "2026-01-31T12:00:00.500000Z",
      "name", "literal", "view", std::nullopt,           "set", std::nullopt, "{\"a\":1}",
      "p",    "5"};
  CHECK(made.values() == expected);
}

TEST_CASE("params: doubles that are no numbers have PostgreSQL's names") {
  const auto infinity = std::numeric_limits<double>::infinity();
  const auto made = make_params(infinity, -infinity, std::numeric_limits<double>::quiet_NaN());
  CHECK(made.values() == std::vector<text>{"Infinity", "-Infinity", "NaN"});
}

TEST_CASE("params: an array survives quotes, backslashes, commas, braces, NULL and the word NULL") {
  const std::vector<text> elements = {"plain", "a\"b", "c\\d", "e,f", "{g}", "", std::nullopt, "NULL", " h ", "ü"};
  const auto made = make_params(elements);
  const auto read = fleet::postgres::parse_array(*made.values().front());
  REQUIRE(read.has_value());
  CHECK(*read == elements);
  CHECK(make_params(std::vector<std::int64_t>{1, -2}).values().front() == "{\"1\",\"-2\"}");
  CHECK(make_params(std::vector<std::string>{}).values().front() == "{}");
}

TEST_CASE("params: a zero byte is refused instead of cutting the value") {
  params made;
  CHECK_THROWS_AS(made.add(std::string("a\0b", 3)), fleet::base::failure);
}

TEST_CASE("params: JSON has short numbers, and one that JSON does not have is refused") {
  const auto made = make_params(boost::json::object{{"n", 12.5}}, boost::json::array{2e19}, boost::json::value(1e-7));
  CHECK(made.values() == std::vector<text>{"{\"n\":12.5}", "[20000000000000000000]", "1e-07"});
  const boost::json::array endless{std::numeric_limits<double>::infinity()};
  CHECK_THROWS_AS(make_params(endless), fleet::base::failure);
}
