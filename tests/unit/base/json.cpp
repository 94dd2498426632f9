#include "common/base/json.hpp"

#include <catch2/catch.hpp>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

using namespace fleet::base;
using Catch::Matchers::Contains;

namespace {

std::string nested_objects(std::size_t depth) {
  std::string text;
  for (std::size_t i = 0; i < depth; ++i) text += R"({"a":)";
  return text + "1" + std::string(depth, '}');
}

}  // namespace

TEST_CASE("json: an object is read") {
  const auto object = parse_json_object(R"( {"a": [1, {"b": "é"}], "c": null} )");
  REQUIRE(object.has_value());
  CHECK(object->at("a").as_array().size() == 2);
  CHECK(parse_json_object("{}")->empty());
}

TEST_CASE("json: a key that is there twice is refused at any depth, and named") {
  for (const auto* text :
       {R"({"key":1,"key":2})", R"({"a":{"key":1,"x":[],"key":2}})", R"({"a":[[{"b":[{"key":1,"key":1}]}]]})",
        R"({"key":1,"k\u0065y":2})", R"({"key":{"key":1},"b":1,"key":3})"}) {
    CAPTURE(text);
    const auto read = parse_json_object(text);
    REQUIRE(read.has_error());
    CHECK(read.error().kind == error_kind::invalid_input);
    REQUIRE(read.error().fields.size() == 1);
    CHECK(read.error().fields[0] == field_error{"key", "this key is there twice"});
  }
  CHECK(parse_json_object(R"({"":1,"":2})").has_error());
}

TEST_CASE("json: the same key in different objects is no duplicate") {
  CHECK(parse_json_object(R"({"a":{"a":1},"b":{"a":1},"c":[{"a":1},{"a":1}]})").has_value());
}

TEST_CASE("json: what is cut short is called invalid, not a duplicate key") {
  const std::string whole = R"({"key": {"inner": [1, "text", 2.5e3]}})";
  for (std::size_t size = 0; size < whole.size(); ++size) {
    CAPTURE(size);
    const auto read = parse_json_object(whole.substr(0, size));
    REQUIRE(read.has_error());
    CHECK_THAT(read.error().message, Contains("not valid JSON"));
  }
}

TEST_CASE("json: depth and size have limits") {
  CHECK(parse_json_object(nested_objects(32)).has_value());
  CHECK(parse_json_object(nested_objects(33)).has_error());
  CHECK(parse_json_object(nested_objects(100'000)).has_error());
  json_limits limits;
  limits.max_bytes = 10;
  CHECK(parse_json_object(R"({"a":1234})", limits).has_value());
  const auto large = parse_json_object(R"({"a":12345})", limits);
  REQUIRE(large.has_error());
  CHECK_THAT(large.error().message, Contains("11 bytes") && Contains("at most 10"));
}

TEST_CASE("json: what is not one object of RFC 8259 is refused") {
  const std::vector<std::string> cases{"[]",
                                       "1",
                                       "null",
                                       "\"text\"",
                                       "",
                                       " ",
                                       "{} x",
                                       "{}{}",
                                       "{'a':1}",
                                       "{\"a\":1,}",
                                       "{\"a\":NaN}",
                                       "{\"a\":Infinity}",
                                       "{\"a\":-Infinity}",
                                       "{\"a\":01}",
                                       "{\"a\":.5}",
                                       "{\"a\":+1}",
                                       "{\"a\":tru}",
                                       "{\"a\":\"\x01\"}",
                                       "{\"a\":\"\xFF\"}",
                                       "{\"\xC0\xAF\":1}",
                                       "{\"a\":\"\\ud800\"}",
                                       "{/*c*/\"a\":1}",
                                       "\xEF\xBB\xBF{}"};
  for (const auto& text : cases) {
    CAPTURE(text);
    const auto read = parse_json_object(text);
    REQUIRE(read.has_error());
    CHECK(read.error().kind == error_kind::invalid_input);
    CHECK_FALSE(read.error().message.empty());
  }
}

TEST_CASE("json: numbers are written short, and read back as they were") {
  boost::json::object object;
  object["half"] = 0.5;
  object["large"] = 123456789012345680.0;
  object["tiny"] = 1e-7;
  object["whole"] = std::int64_t{-3};
  object["text"] = "a\"\n\u00e9";
  object["list"] = boost::json::array{0.1, true, nullptr, boost::json::object{{"k\t", 2.25}}};
  const auto text = write_json(object);
  CHECK(text ==
        "{\"half\":0.5,\"large\":1.2345678901234568e+17,\"tiny\":1e-07,\"whole\":-3,\"text\":\"a\\\"\\n\u00e9\","
        "\"list\":[0.1,true,null,{\"k\\t\":2.25}]}");
  CHECK(parse_json_object(text)->at("half") == 0.5);
  CHECK(parse_json_object(text)->at("tiny") == 1e-7);
  CHECK_THROWS_AS(write_json(boost::json::value(std::numeric_limits<double>::quiet_NaN())), std::invalid_argument);
}

TEST_CASE("json: a number is no longer than jsonb's text that it was read from") {
  // As PostgreSQL prints jsonb: digits, however many, and never an exponent.
  const auto* number =
      GENERATE("12.5", "-0.5", "1.0", "0.0001", "0.000012345678901234567", "9007199254740993", "123456789012345680",
               "18446744073709551615", "18446744073709551616", "-9223372036854775808", "-18446744073709560000",
               "20000000000000000000", "123456789012345670000", "-999999999999999900000", "1000000000000000000000",
               "1234567890123456700000", "340000000000000000000000000000000000000");
  const auto read = parse_json_object("{\"n\":" + std::string(number) + "}");
  REQUIRE(read.has_value());
  const auto text = write_json(read->at("n"));
  CAPTURE(number, text);
  CHECK(text.size() <= std::string_view(number).size());
  CHECK(parse_json_object("{\"n\":" + text + "}")->at("n").to_number<double>() == read->at("n").to_number<double>());
}
