#include "tests/unit/messages/good_messages.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <catch2/catch.hpp>

#include "common/base/json.hpp"
#include "common/base/text.hpp"
#include "common/messages/consensus_pattern.hpp"
#include "common/messages/consensus_result.hpp"
#include "common/messages/execution_metrics.hpp"
#include "common/messages/learning_loop_completed.hpp"
#include "common/messages/pattern_discovered.hpp"
#include "common/messages/proposal_for_consensus.hpp"
#include "common/messages/rollback_trigger.hpp"
#include "common/messages/safety_profile_update.hpp"
#include "common/messages/vote.hpp"
#include "common/messages/voting_request.hpp"

namespace fleet::messages::tests {
namespace {

template <class Message>
base::result<boost::json::object> decode_twice(const boost::json::object& object) {
  const auto first = Message::decode(object);
  if (!first) return first.error();
  auto encoded = first->encode();
  // Through text, as between two processes.
  const auto text = boost::json::serialize(encoded);
  const auto second = Message::decode(base::parse_json_object(text).value());
  if (!second || !(*second == *first)) return base::make_error(base::error_kind::internal, "no round trip: " + text);
  return encoded;
}

template <class Message>
message_case make_case(std::string text, std::vector<std::string> required, std::vector<std::string> optional) {
  required.insert(required.begin(), "type");
  return {std::string(Message::type_name), std::move(text), std::move(required), std::move(optional),
          decode_twice<Message>};
}

message_case proposal_case() {
  return make_case<proposal_for_consensus>(
      R"({"type":"proposal_for_consensus","proposal_id":"prop-1","instance_id":"agent-1","agent_type":"BugFixerAgent",
          "code_change":{"files":{"a.txt":"x\n"}},"impact_score":8,"risk_score":2.5,
          "safety_profile":{"success_rate":0.95,"error_threshold":0.05,"latency_threshold":2000,"cost_threshold":7.5,
            "needs_consensus":false,"max_risk_score":3,"max_blast_radius":"low","auto_rollback":true,
            "max_error_count":5,"observation_window_seconds":600},
          "timestamp":"2026-01-31T12:00:00.000000Z","agent_id":"fixer-7","priority_score":3.83,
          "metadata":{"change_type":"cache_improvement","description":"d","blast_radius":"low",
            "expected_improvement":{"latency":-0.2},"trial_results":{"runs":3},"own":[1,null]},
          "preview":{"commit":"4bf92f3","files":{"a.txt":"@@ -0,0 +1 @@\n+x\n","b.bin":null}},
          "traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"})",
      {"proposal_id", "instance_id", "agent_type", "code_change", "impact_score", "risk_score", "safety_profile",
       "timestamp"},
      {"agent_id", "priority_score", "metadata", "safety_profile.success_rate", "safety_profile.needs_consensus",
       "safety_profile.max_blast_radius", "safety_profile.observation_window_seconds", "metadata.change_type",
       "metadata.trial_results", "preview", "traceparent"});
}

message_case voting_request_case() {
  return make_case<voting_request>(
      R"({"type":"voting_request","proposal_id":"prop-1","instance_id":"agent-1","agent_type":"BugFixerAgent",
          "code_change":{"patch":"p"},"impact_score":8,"risk_score":2,"safety_profile":{"max_blast_radius":4},
          "metadata":{},"deadline":"2026-01-31T12:00:30.000000Z","timestamp":"2026-01-31T12:00:00.000000Z",
          "traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"})",
      {"proposal_id", "instance_id", "agent_type", "code_change", "impact_score", "risk_score", "safety_profile",
       "metadata", "deadline", "timestamp"},
      {"safety_profile.max_blast_radius", "traceparent"});
}

message_case vote_case() {
  return make_case<vote>(
      R"({"type":"vote","proposal_id":"prop-1","instance_id":"agent-2","vote":"reject","confidence":0.92,
          "reason":"touches the core","timestamp":"2026-01-31T12:00:01.250000Z",
          "traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"})",
      {"proposal_id", "instance_id", "vote", "confidence", "reason", "timestamp"}, {"traceparent"});
}

message_case consensus_result_case() {
  return make_case<consensus_result>(
      R"({"type":"consensus_result","proposal_id":"prop-1","instance_id":"agent-1","status":"approved",
          "votes":{"agent-1":"approve","agent-2":"approve","agent-3":"reject"},"confidence":0.85,
          "decision_rationale":"2 of 3 approve","timestamp":"2026-01-31T12:00:02.000000Z","rule":"consensus",
          "vote_details":[{"instance_id":"agent-1","vote":"approve","confidence":1,"reason":"",
            "voted_at":"2026-01-31T12:00:01.000000Z"}],
          "traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"})",
      {"proposal_id", "instance_id", "status", "votes", "confidence", "decision_rationale", "timestamp",
       "vote_details.0.instance_id", "vote_details.0.vote", "vote_details.0.confidence", "vote_details.0.reason",
       "vote_details.0.voted_at"},
      {"rule", "vote_details", "traceparent"});
}

message_case execution_metrics_case() {
  return make_case<execution_metrics>(
      R"({"type":"execution_metrics","proposal_id":"prop-1","instance_id":"agent-1","agent_type":"BugFixerAgent",
          "metrics_before":{"success_rate":0.97,"success_rate_n":120},
          "metrics_after":{"success_rate":0.98,"error_rate":0.01,"latency_p95_ms":812.5,"cost_cents":0.4,
            "throughput_per_min":60,"cpu_usage":130.5,"memory":512,"error_count":2,"execution_count":200,
            "queue_depth":-3},
          "status":"monitoring","timestamp":"2026-01-31T12:00:03.000000Z",
          "traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
          "metrics_traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"})",
      {"proposal_id", "instance_id", "agent_type", "metrics_before", "metrics_after", "status", "timestamp"},
      {"metrics_before.success_rate", "metrics_after.queue_depth", "traceparent", "metrics_traceparent"});
}

message_case pattern_discovered_case() {
  return make_case<pattern_discovered>(
      R"({"type":"pattern_discovered","instance_id":"agent-1","pattern_type":"retry","code_pattern":{"before":"a",
          "after":"b","description":"d","name":"n","code_template":"t","metadata":{"lines":3}},"success_rate":0.96,
          "agent_type":"BugFixerAgent","timestamp":"2026-01-31T12:00:04.000000Z","usage_count":12,
          "traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"})",
      {"instance_id", "pattern_type", "code_pattern", "code_pattern.before", "code_pattern.after",
       "code_pattern.description", "success_rate", "agent_type", "timestamp"},
      {"usage_count", "code_pattern.name", "code_pattern.code_template", "code_pattern.metadata", "traceparent"});
}

message_case rollback_trigger_case() {
  return make_case<rollback_trigger>(
      R"({"type":"rollback_trigger","proposal_id":"prop-1","instance_id":"agent-1","reason":"error_rate_breach",
          "threshold":{"error_rate":0.1,"actual":0.15,"severity":"critical","breaches":1},
          "timestamp":"2026-01-31T12:00:05.000000Z","rollback_id":"rb-1","strategy":{"steps":["revert_code",
          "restart_agent"],"estimated_duration_sec":20,"requires_manual_intervention":true,"success_rate":0.75,
          "learned_from_count":4},
          "traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"})",
      {"proposal_id", "instance_id", "reason", "threshold", "timestamp", "strategy.steps",
       "strategy.estimated_duration_sec", "strategy.requires_manual_intervention"},
      {"rollback_id", "strategy", "strategy.success_rate", "strategy.learned_from_count", "threshold.actual",
       "threshold.severity", "threshold.breaches", "threshold.error_rate", "traceparent"});
}

message_case safety_profile_update_case() {
  return make_case<safety_profile_update>(
      R"({"type":"safety_profile_update","instance_id":"broadcast","agent_type":"BugFixerAgent",
          "safety_profile":{"success_rate":0.93},"source":"guardian_learning","timestamp":"2026-01-31T12:00:06.000000Z"})",
      {"instance_id", "agent_type", "safety_profile", "source", "timestamp"}, {"safety_profile.success_rate"});
}

message_case consensus_pattern_case() {
  return make_case<consensus_pattern>(
      R"({"type":"consensus_pattern","pattern_id":"pat-1","pattern_type":"retry","code_pattern":{"before":"a",
          "after":"b","description":"d"},"success_rate":0.96,"consensus_score":0.97,
          "source_instances":["agent-1","agent-2"],"usage_count":120,"timestamp":"2026-01-31T12:00:07.000000Z",
          "traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"})",
      {"pattern_id", "pattern_type", "code_pattern", "success_rate", "consensus_score", "source_instances",
       "usage_count", "timestamp"},
      {"traceparent"});
}

message_case learning_loop_completed_case() {
  return make_case<learning_loop_completed>(
      R"({"type":"learning_loop_completed","patterns_processed":10,"rules_generated":2,"thresholds_updated":0,
          "timestamp":"2026-01-31T12:00:08.000000Z",
          "traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"})",
      {"patterns_processed", "rules_generated", "thresholds_updated", "timestamp"}, {"traceparent"});
}

/// The object or array that holds the last name of `path`, and that name.
std::pair<boost::json::value*, std::string> holder_of(boost::json::value& root, std::string_view path) {
  auto names = base::split(path, '.');
  auto* at = &root;
  for (std::size_t i = 0; i + 1 < names.size(); ++i)
    at = at->is_array() ? &at->as_array().at(std::stoul(names[i])) : &at->as_object().at(names[i]);
  return {at, names.back()};
}

}  // namespace

const std::vector<message_case>& all_messages() {
  static const std::vector<message_case> cases{proposal_case(),
                                               voting_request_case(),
                                               vote_case(),
                                               consensus_result_case(),
                                               execution_metrics_case(),
                                               pattern_discovered_case(),
                                               rollback_trigger_case(),
                                               safety_profile_update_case(),
                                               consensus_pattern_case(),
                                               learning_loop_completed_case()};
  return cases;
}

const message_case& message_named(std::string_view type) {
  for (const auto& message : all_messages())
    if (message.type == type) return message;
  throw std::invalid_argument("no such message: " + std::string(type));
}

boost::json::object parse_object(std::string_view text) {
  return base::parse_json_object(text).value();
}

void set_at(boost::json::object& object, std::string_view path, boost::json::value value) {
  boost::json::value root(std::move(object));
  const auto [holder, name] = holder_of(root, path);
  if (holder->is_array())
    holder->as_array().at(std::stoul(name)) = std::move(value);
  else
    holder->as_object()[name] = std::move(value);
  object = std::move(root.as_object());
}

void remove_at(boost::json::object& object, std::string_view path) {
  boost::json::value root(std::move(object));
  const auto [holder, name] = holder_of(root, path);
  REQUIRE(holder->as_object().erase(name) == 1);
  object = std::move(root.as_object());
}

std::string message_for(const base::error& error, std::string_view field) {
  for (const auto& wrong : error.fields)
    if (wrong.field == field) return wrong.message;
  return {};
}

}  // namespace fleet::messages::tests
