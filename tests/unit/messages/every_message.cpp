// What holds for all messages alike.
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <catch2/catch.hpp>
#include <fstream>
#include <map>
#include <set>

#include "common/messages/queues.hpp"
#include "tests/unit/messages/good_messages.hpp"

using namespace fleet;
using namespace fleet::messages::tests;
using Catch::Matchers::Contains;

namespace {

/// "vote_details.0.vote" is reported as "vote_details[0].vote".
std::string reported(std::string path) {
  const auto at = path.find(".0.");
  return at == std::string::npos ? path : path.replace(at, 3, "[0].");
}

}  // namespace

TEST_CASE("messages: a good one is taken, and what is encoded is the same object") {
  for (const auto& message : all_messages()) {
    CAPTURE(message.type);
    const auto object = parse_object(message.text);
    const auto again = message.decode(object);
    if (!again) FAIL(again.error().message);
    CHECK(*again == object);
  }
}

TEST_CASE("messages: the page has an example of each, which is a good one") {
  std::ifstream page(FLEET_SOURCE_DIR "/common/messages/README.md");
  std::map<std::string, boost::json::object> examples;
  std::string example;
  bool inside = false;
  for (std::string line; std::getline(page, line);) {
    if (inside && line == "```") {
      const auto object = parse_object(example);
      examples.emplace(object.at("type").as_string(), object);
    }
    inside = line == "```json" || (inside && line != "```");
    example = line == "```json" ? std::string() : example + line + "\n";
  }
  for (const auto& message : all_messages()) {
    CAPTURE(message.type);
    REQUIRE(examples.count(message.type) == 1);
    if (const auto taken = message.decode(examples.at(message.type)); !taken) FAIL_CHECK(taken.error().message);
  }
  CHECK(examples.size() == all_messages().size());
}

TEST_CASE("messages: each required field is asked for by its path, missing or null") {
  for (const auto& message : all_messages()) {
    for (const auto& field : message.required) {
      CAPTURE(message.type, field);
      auto missing = parse_object(message.text);
      remove_at(missing, field);
      const auto result = message.decode(missing);
      REQUIRE(result.has_error());
      CHECK(result.error().kind == base::error_kind::invalid_input);
      CHECK(result.error().fields.size() == 1);
      CHECK_THAT(message_for(result.error(), reported(field)), Contains("is missing; expected "));
      auto null = parse_object(message.text);
      set_at(null, field, nullptr);
      CHECK(message.decode(null).has_error());
    }
  }
}

TEST_CASE("messages: each optional field may be absent or null") {
  for (const auto& message : all_messages()) {
    for (const auto& field : message.optional) {
      CAPTURE(message.type, field);
      auto object = parse_object(message.text);
      set_at(object, field, nullptr);
      if (const auto result = message.decode(object); !result) FAIL_CHECK(result.error().message);
      remove_at(object, field);
      if (const auto result = message.decode(object); !result) FAIL_CHECK(result.error().message);
    }
  }
}

TEST_CASE("messages: a field of another type is refused and named") {
  const std::set<std::string> objects{"code_change",   "safety_profile", "votes",     "metrics_before",
                                      "metrics_after", "metadata",       "threshold", "code_pattern",
                                      "strategy",      "preview"};
  const std::set<std::string> arrays{"source_instances", "vote_details", "strategy.steps"};
  for (const auto& message : all_messages()) {
    auto fields = message.required;
    fields.insert(fields.end(), message.optional.begin(), message.optional.end());
    for (const auto& field : fields) {
      if (field.ends_with("traceparent")) continue;  // never a reason to refuse
      CAPTURE(message.type, field);
      auto object = parse_object(message.text);
      set_at(object, field,
             arrays.contains(field) ? boost::json::value(boost::json::object())
                                    : boost::json::value(boost::json::array()));
      const auto result = message.decode(object);
      REQUIRE(result.has_error());
      CHECK_THAT(message_for(result.error(), reported(field)), Contains("expected"));
      if (!objects.contains(field)) continue;
      set_at(object, field, "text");
      CHECK_THAT(message_for(message.decode(object).error(), field), Contains("expected an object, got the text"));
    }
  }
}

TEST_CASE("messages: a traceparent that is none counts as absent") {
  int with_trace = 0;
  for (const auto& message : all_messages()) {
    for (const auto* field : {"traceparent", "metrics_traceparent"}) {
      auto object = parse_object(message.text);
      if (!object.contains(field)) continue;
      ++with_trace;
      for (const auto* wrong : {"7", R"("00-abc")", "null"}) {
        CAPTURE(message.type, field);
        object[field] = boost::json::parse(wrong);
        const auto again = message.decode(object);
        REQUIRE(again.has_value());
        CHECK_FALSE(again->contains(field));
      }
    }
  }
  CHECK(with_trace == 10);
}

TEST_CASE("messages: unknown fields are ignored, at the top and in nested parts") {
  for (const auto& message : all_messages()) {
    CAPTURE(message.type);
    auto object = parse_object(message.text);
    const auto before = message.decode(object).value();
    object["from_the_future"] = boost::json::array{1, "two", nullptr};
    for (const auto* part : {"safety_profile", "code_pattern", "strategy"})
      if (object.contains(part)) set_at(object, std::string(part) + ".from_the_future", boost::json::array{1});
    if (object.contains("threshold")) set_at(object, "threshold.note", "a text is no bound");
    const auto result = message.decode(object);
    if (!result) FAIL(result.error().message);
    CHECK(*result == before);
  }
}

TEST_CASE("messages: the type must be the message's own") {
  for (const auto& message : all_messages()) {
    CAPTURE(message.type);
    auto object = parse_object(message.text);
    for (const auto* wrong : {"\"other\"", "1", "\"\"", "null"}) {
      object["type"] = boost::json::parse(wrong);
      const auto result = message.decode(object);
      REQUIRE(result.has_error());
      CHECK_THAT(message_for(result.error(), "type"), Contains("expected \"" + message.type + "\""));
    }
  }
}

TEST_CASE("messages: schema_version may be 1; anything else is refused by that name") {
  for (const auto& message : all_messages()) {
    CAPTURE(message.type);
    auto object = parse_object(message.text);
    for (const auto* good : {"1", "1.0", "null"}) {
      object["schema_version"] = boost::json::parse(good);
      CHECK(message.decode(object).has_value());
    }
    for (const auto* bad : {"0", "-1", "1.5", "\"1\"", "true", "[]", "2", "3", "2.0", "9007199254740993", "1e300"}) {
      CAPTURE(bad);
      object["schema_version"] = boost::json::parse(bad);
      const auto result = message.decode(object);
      REQUIRE(result.has_error());
      REQUIRE(result.error().fields.size() == 1);
      CHECK(result.error().fields[0].field == "schema_version");
    }
  }
}

TEST_CASE("messages: a version that is not known is the only reason given") {
  for (const auto& message : all_messages()) {
    CAPTURE(message.type);
    boost::json::object object{{"type", message.type}, {"schema_version", 2}};
    const auto result = message.decode(object);
    REQUIRE(result.has_error());
    CHECK(result.error().message == "schema_version: version 2 is not known here: only version 1 is understood");
  }
}

TEST_CASE("messages: an empty object gets every required field named at once") {
  for (const auto& message : all_messages()) {
    CAPTURE(message.type);
    const auto result = message.decode({});
    REQUIRE(result.has_error());
    for (const auto& field : message.required) {
      CAPTURE(field);
      if (field.find('.') == std::string::npos) CHECK_FALSE(message_for(result.error(), field).empty());
    }
  }
}

TEST_CASE("messages: every queue's type has its message, and every message its queue") {
  std::set<std::string> types;
  for (const auto& queue : messages::all_queues()) types.emplace(queue.message_type);
  CHECK(types.size() == 10);
  for (const auto& message : all_messages()) CHECK(types.contains(message.type));
}
