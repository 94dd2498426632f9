#include "common/messages/reader.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <catch2/catch.hpp>

#include "common/base/json.hpp"

using namespace fleet;
using namespace fleet::messages;
using Catch::Matchers::Contains;

TEST_CASE("reader: a body without type or timestamp is read field by field, with a path of the caller's") {
  const auto body = base::parse_json_object(R"({"vote":"approve","confidence":2,"extra":{"n":"x"}})").value();
  reader in(body, "body");
  CHECK(in.ok());
  CHECK(in.text("vote") == "approve");
  CHECK(in.optional_id("proposal_id") == std::nullopt);
  CHECK(in.ok());
  in.number("confidence", unit_range);
  auto nested = in.nested("extra", *in.object("extra"));
  nested.integer("n", {1, 5});
  CHECK_FALSE(in.ok());
  CHECK(in.error().fields ==
        std::vector<base::field_error>{{"body.confidence", "expected a number from 0 to 1, got 2"},
                                       {"body.extra.n", "expected a whole number from 1 to 5, got the text \"x\""}});
}

TEST_CASE("reader: whole numbers are taken without loss, or not at all") {
  const auto body = base::parse_json_object(
                        R"({"max":9223372036854775807,"min":-9223372036854775808,"over":9223372036854775808,
                            "float":3.0,"half":3.5,"big_float":1e16})")
                        .value();
  const integer_range any{std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::int64_t>::max()};
  reader in(body);
  CHECK(in.integer("max", any) == std::numeric_limits<std::int64_t>::max());
  CHECK(in.integer("min", any) == std::numeric_limits<std::int64_t>::min());
  CHECK(in.integer("float", any) == 3);
  CHECK(in.ok());
  for (const auto* name : {"over", "half", "big_float"}) {
    CAPTURE(name);
    reader one(body);
    one.integer(name, any);
    CHECK_FALSE(one.ok());
  }
}

TEST_CASE("reader: a thousand wrong fields make an error of bounded size that says how many there are") {
  boost::json::object body;
  reader in(body);
  for (int i = 0; i < 1000; ++i) in.fail("field" + std::to_string(i), "is wrong");
  const auto error = in.error();
  CHECK(error.fields.size() == 51);
  CHECK(error.fields.back().message == "and 950 more errors");
  CHECK(error.message.size() < 5'000);
}

TEST_CASE("reader: a sender's names and values are repeated in short and without line breaks") {
  std::string value(10'000, 'v');
  value.back() = '\n';
  boost::json::object body{{"value", value}};
  reader in(body);
  in.fail(std::string(10'000, 'n'), "is wrong");
  in.fail("a\nb", "is wrong");
  in.number("value", any_number);
  const auto error = in.error();
  for (const auto& field : error.fields) {
    CHECK(field.field.size() < 150);
    CHECK(field.field.find('\n') == std::string::npos);
    CHECK(field.message.size() < 150);
  }
}

TEST_CASE("reader: a text has bounds, and never U+0000") {
  const auto body = base::parse_json_object(R"({"four":"four","nul":"a\u0000b"})").value();
  for (const auto& [length, fits] :
       std::vector<std::pair<text_length, bool>>{{{0, 4}, true}, {{4, 4}, true}, {{0, 3}, false}, {{5, 9}, false}}) {
    reader in(body);
    in.text("four", length);
    CHECK(in.ok() == fits);
  }
  reader in(body);
  in.text("nul");
  CHECK_FALSE(in.ok());
}

TEST_CASE("reader: lists are bounded") {
  boost::json::array many(11, boost::json::value("id"));
  boost::json::object body{{"list", many}};
  reader in(body);
  CHECK(in.ids("list", 11).size() == 11);
  CHECK(in.ok());
  CHECK(in.ids("list", 10).empty());
  CHECK_THAT(in.error().message, Contains("at most 10 entries, got 11"));
}

TEST_CASE("json numbers: decimals go out as numbers, whole ones without a fraction, and come back equal") {
  for (const auto* text : {"0", "1", "-3", "0.85", "0.1", "0.000001", "9.166667", "3.83", "-2.5", "9000000000000",
                           "899999999.999999", "123456789.123456"}) {
    CAPTURE(text);
    const auto value = base::decimal::parse(text).value();
    const auto json = boost::json::serialize(to_json(value));
    CHECK(json.front() != '"');
    CHECK(to_decimal(boost::json::parse(json)).value() == value);
  }
  CHECK(boost::json::serialize(to_json(base::decimal::from_int(8))) == "8");
  for (std::int64_t millionths = 0; millionths <= 1'000'000; millionths += 7) {
    const auto value = base::decimal::from_millionths(millionths);
    if (to_decimal(boost::json::parse(boost::json::serialize(to_json(value)))).value() != value)
      FAIL("no round trip: " << value.str());
  }
}

TEST_CASE("json numbers: what a decimal cannot hold is an error") {
  for (const auto* text :
       {"9000000000001", "18446744073709551615", "-9223372036854775808", "1e300", "-1e300", "1e13"}) {
    CAPTURE(text);
    CHECK(to_decimal(boost::json::parse(text)).has_error());
  }
  CHECK(to_decimal(boost::json::value("1")).has_error());
  CHECK(to_decimal(boost::json::value(true)).has_error());
  CHECK(to_decimal(boost::json::value(nullptr)).has_error());
}
