// Values of the right kind that are out of range, and those on the border that are not.
#include <boost/json/parse.hpp>
#include <catch2/catch.hpp>

#include "tests/unit/messages/good_messages.hpp"

using namespace fleet;
using namespace fleet::messages::tests;
using Catch::Matchers::Contains;

namespace {

struct value_case {
  const char* message;
  const char* field;
  std::vector<const char*> good;  ///< JSON
  std::vector<const char*> bad;
  const char* expected;  ///< part of the error's text
};

const char* const score = "a number from 1 to 10";
const char* const rate = "a number from 0 to 1";
const char* const at_least_0 = "a number of at least 0";

const std::vector<value_case>& value_cases() {
  static const std::vector<value_case> cases{
      {"proposal_for_consensus",
       "impact_score",
       {"1", "10", "1.0", "5.5"},
       {"0", "0.999999", "10.000001", "11", "-5", "\"5\"", "\"NaN\"", "\"Infinity\"", "true", "1e300", "{}"},
       score},
      {"proposal_for_consensus", "risk_score", {"1", "10"}, {"0.99", "10.1", "\"NaN\""}, score},
      {"proposal_for_consensus", "priority_score", {"0", "3.83", "5000"}, {"-0.1", "1e13", "\"3\""}, at_least_0},
      {"proposal_for_consensus", "code_change", {"{\"anything\":1}"}, {"{}"}, "at least one field"},
      {"proposal_for_consensus", "code_change", {}, {"{\"a\":[{\"b\":\"x\\u0000\"}]}", "{\"a\\u0000\":1}"}, "U+0000"},
      {"proposal_for_consensus", "metadata", {"{}", "{\"own\":{}}"}, {"{\"own\":\"\\u0000\"}"}, "U+0000"},
      {"proposal_for_consensus", "metadata.change_type", {"\"x\""}, {"\"\"", "\"a\\nb\"", "5"}, "expected a text"},
      {"proposal_for_consensus",
       "metadata.blast_radius",
       {"\"wide\"", "7", "0", "2.5"},
       {"-1", "\"\"", "true"},
       "expected a text"},
      {"proposal_for_consensus", "metadata.trial_results", {"{}"}, {"5", "\"good\""}, "an object"},
      {"voting_request", "impact_score", {"1", "10"}, {"0", "10.5"}, score},
      {"voting_request", "risk_score", {"1", "10"}, {"0", "10.5"}, score},
      {"voting_request",
       "deadline",
       {"\"2026-01-31T12:00:00+02:00\""},
       {"\"soon\"", "1769860800", "\"2026-02-30T00:00:00Z\""},
       "RFC 3339"},
      {"vote",
       "vote",
       {"\"approve\"", "\"reject\""},
       {"\"Approve\"", "\"abstain\"", "\"\"", "true"},
       "one of \"approve\", \"reject\""},
      {"vote",
       "confidence",
       {"0", "1", "0.000001", "1.0"},
       {"-0.000001", "1.000001", "2", "\"0.9\"", "\"NaN\"", "1e308"},
       rate},
      {"vote", "reason", {"\"\"", "\"line\\nbreak\""}, {"5", "\"nul \\u0000\""}, "expected a text"},
      {"vote", "timestamp", {"\"2026-01-31T12:00:00Z\""}, {"\"\"", "\"yesterday\"", "\"2026-01-31\"", "5"}, "RFC 3339"},
      {"consensus_result",
       "status",
       {"\"approved\"", "\"rejected\""},
       {"\"pending\"", "\"\""},
       "one of \"approved\", \"rejected\""},
      {"consensus_result", "confidence", {"0", "1"}, {"1.1", "-1"}, rate},
      {"consensus_result", "votes", {"{}"}, {"[]", "\"x\""}, "an object"},
      {"consensus_result", "votes.agent-1", {"\"reject\""}, {"\"yes\"", "1", "null"}, "one of \"approve\", \"reject\""},
      {"consensus_result", "vote_details.0.confidence", {"0.5"}, {"1.5", "\"1\""}, rate},
      {"consensus_result", "vote_details.0", {}, {"5", "[]"}, "an object"},
      {"consensus_result",
       "rule",
       {"\"strong_rejection\"", "\"of_a_later_version\""},
       {"\"\"", "5"},
       "expected a text"},
      {"execution_metrics",
       "status",
       {"\"executing\"", "\"applied\"", "\"monitoring\"", "\"failed\"", "\"rolled_back\"", "\"rollback_failed\""},
       {"\"done\"", "\"\""},
       "one of \"executing\", \"applied\""},
      {"execution_metrics",
       "metrics_after.success_rate",
       {"0", "1"},
       {"1.01", "-0.1", "\"0.9\"", "\"NaN\"", "true"},
       rate},
      {"execution_metrics", "metrics_after.error_rate", {"0", "1"}, {"1.01", "-0.1"}, rate},
      {"execution_metrics", "metrics_after.latency_p95_ms", {"0", "1e9"}, {"-1", "1e13", "1e300"}, at_least_0},
      {"execution_metrics", "metrics_before.success_rate_n", {"0"}, {"-1", "\"12\""}, at_least_0},
      {"execution_metrics",
       "metrics_after.queue_depth",
       {"-1e12"},
       {"1e13", "\"Infinity\"", "[]"},
       "expected a number"},
      {"pattern_discovered", "success_rate", {"0", "1"}, {"1.1", "-1"}, rate},
      {"pattern_discovered",
       "usage_count",
       {"0", "3.0", "1000000000000"},
       {"-1", "1.5", "\"3\"", "1000000000001", "9223372036854775807", "1e30", "18446744073709551615"},
       "a whole number from 0 to 1000000000000"},
      {"rollback_trigger", "threshold", {"{}", "{\"queue_depth\":5,\"actual\":-7}"}, {"\"0.1\""}, "an object"},
      {"rollback_trigger", "threshold.error_rate", {"1"}, {"1.1", "\"0.1\"", "\"NaN\""}, rate},
      {"rollback_trigger", "threshold.actual", {"-3"}, {"\"0.15\"", "1e300"}, "a number"},
      {"rollback_trigger",
       "threshold.severity",
       {"\"low\"", "\"medium\"", "\"high\""},
       {"\"fatal\"", "4"},
       "one of \"low\""},
      {"rollback_trigger", "threshold.breaches", {"5"}, {"0", "-1", "1.5"}, "a whole number from 1"},
      {"rollback_trigger", "strategy.success_rate", {"0", "1", "null"}, {"1.5"}, rate},
      {"rollback_trigger",
       "strategy.estimated_duration_sec",
       {"0", "604800"},
       {"-1", "604801", "2.5"},
       "from 0 to 604800"},
      {"rollback_trigger", "strategy.requires_manual_intervention", {"false"}, {"0", "\"no\""}, "true or false"},
      {"consensus_pattern", "consensus_score", {"0", "1", "10"}, {"-0.1", "10.1"}, "a number from 0 to 10"},
      {"consensus_pattern", "source_instances", {"[]"}, {"{}", "\"agent-1\""}, "an array"},
      {"learning_loop_completed", "patterns_processed", {"0"}, {"-1", "0.5"}, "a whole number of at least 0"},
      {"safety_profile_update", "instance_id", {"\"agent-1\""}, {"\"\"", "7"}, "1 to 200 bytes"},
      {"safety_profile_update", "safety_profile.success_rate", {"0", "1"}, {"1.1", "-0.1", "\"0.9\""}, rate},
      {"safety_profile_update", "safety_profile.error_threshold", {"0", "1"}, {"1.1"}, rate},
      {"safety_profile_update", "safety_profile.latency_threshold", {"0"}, {"-1"}, at_least_0},
      {"safety_profile_update", "safety_profile.cost_threshold", {"0"}, {"-1"}, at_least_0},
      {"safety_profile_update", "safety_profile.max_risk_score", {"1", "10"}, {"0.5", "11"}, score},
      {"safety_profile_update",
       "safety_profile.max_blast_radius",
       {"\"low\"", "\"medium\"", "\"high\"", "0", "2.5"},
       {"\"wide\"", "-1", "true"},
       "or one of"},
      {"safety_profile_update", "safety_profile.needs_consensus", {"true"}, {"1", "\"true\""}, "true or false"},
      {"safety_profile_update", "safety_profile.auto_rollback", {"true"}, {"1", "\"true\""}, "true or false"},
      {"safety_profile_update",
       "safety_profile.max_error_count",
       {"0", "1000000000"},
       {"-1", "1.5", "1000000001"},
       "a whole number from 0"},
      {"safety_profile_update",
       "safety_profile.observation_window_seconds",
       {"1", "604800"},
       {"0", "604801", "-1", "\"60\""},
       "from 1 to 604800"},
  };
  return cases;
}

std::string reported(std::string path) {
  const auto at = path.find(".0");
  return at == std::string::npos ? path : path.replace(at, 2, "[0]");
}

}  // namespace

TEST_CASE("messages: values on the border are taken") {
  for (const auto& row : value_cases()) {
    for (const auto* good : row.good) {
      CAPTURE(row.message, row.field, good);
      const auto& message = message_named(row.message);
      auto object = parse_object(message.text);
      set_at(object, row.field, boost::json::parse(good));
      const auto result = message.decode(object);
      if (!result) FAIL_CHECK(result.error().message);
    }
  }
}

TEST_CASE("messages: values beyond the border are refused with the field and what was expected") {
  for (const auto& row : value_cases()) {
    for (const auto* bad : row.bad) {
      CAPTURE(row.message, row.field, bad);
      const auto& message = message_named(row.message);
      auto object = parse_object(message.text);
      set_at(object, row.field, boost::json::parse(bad));
      const auto result = message.decode(object);
      REQUIRE(result.has_error());
      CHECK(result.error().fields.size() == 1);
      CHECK_THAT(message_for(result.error(), reported(row.field)), Contains(row.expected));
    }
  }
}

TEST_CASE("messages: ids that are too long, empty or have control characters are refused, without repeating 10 kB") {
  const std::vector<std::string> bad{"",     std::string(201, 'x'), std::string(10'240, 'x'),
                                     "a\nb", "a\x1B[31m",           std::string("a\0b", 3)};
  for (const auto& message : all_messages()) {
    for (const auto* field : {"proposal_id", "instance_id", "agent_type", "agent_id", "pattern_id", "pattern_type",
                              "rollback_id", "source", "reason"}) {
      auto object = parse_object(message.text);
      if (!object.contains(field) || (message.type == "vote" && std::string_view(field) == "reason")) continue;
      for (const auto& id : bad) {
        CAPTURE(message.type, field);
        object[field] = id;
        const auto result = message.decode(object);
        REQUIRE(result.has_error());
        CHECK_THAT(message_for(result.error(), field), Contains("1 to 200 bytes"));
        CHECK(result.error().message.size() < 300);
        CHECK(result.error().message.find('\n') == std::string::npos);
      }
      object[field] = std::string(200, 'x');
      CHECK(message.decode(object).has_value());
    }
  }
}

TEST_CASE("messages: several wrong fields are reported at once, each under its path") {
  auto object = parse_object(message_named("proposal_for_consensus").text);
  object["impact_score"] = 11;
  object["risk_score"] = "high";
  set_at(object, "safety_profile.success_rate", 2);
  set_at(object, "metadata.change_type", 5);
  object.erase("timestamp");
  const auto result = message_named("proposal_for_consensus").decode(object);
  REQUIRE(result.has_error());
  CHECK(result.error().fields ==
        std::vector<base::field_error>{
            {"impact_score", "expected a number from 1 to 10, got 11"},
            {"risk_score", "expected a number from 1 to 10, got the text \"high\""},
            {"safety_profile.success_rate", "expected a number from 0 to 1, got 2"},
            {"timestamp", "is missing; expected an RFC 3339 time such as 2026-01-31T12:00:00.000Z"},
            {"metadata.change_type", "expected a text of 1 to 200 bytes without control characters, got 5"}});
}

TEST_CASE("messages: instances in lists and votes are ids as well") {
  auto pattern = parse_object(message_named("consensus_pattern").text);
  pattern["source_instances"] = boost::json::array{"agent-1", "", 5};
  const auto first = message_named("consensus_pattern").decode(pattern);
  REQUIRE(first.has_error());
  CHECK_FALSE(message_for(first.error(), "source_instances[1]").empty());
  CHECK_FALSE(message_for(first.error(), "source_instances[2]").empty());
  auto decision = parse_object(message_named("consensus_result").text);
  decision["votes"] = boost::json::object{{std::string(201, 'x'), "approve"}};
  CHECK(message_named("consensus_result").decode(decision).has_error());
  auto trigger = parse_object(message_named("rollback_trigger").text);
  set_at(trigger, "strategy.steps", boost::json::array{"revert_code", "x\ny"});
  CHECK_FALSE(message_for(message_named("rollback_trigger").decode(trigger).error(), "strategy.steps[1]").empty());
}
