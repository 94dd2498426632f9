#include "common/messages/safety_profile.hpp"

namespace fleet::messages {

safety_profile safety_profile::read(reader in) {
  safety_profile profile;
  profile.success_rate = in.optional_number("success_rate", unit_range);
  profile.error_threshold = in.optional_number("error_threshold", unit_range);
  profile.latency_threshold = in.optional_number("latency_threshold", non_negative);
  profile.cost_threshold = in.optional_number("cost_threshold", non_negative);
  profile.needs_consensus = in.optional_boolean("needs_consensus");
  profile.max_risk_score = in.optional_number("max_risk_score", score_range);
  if (const auto* radius = in.find("max_blast_radius")) {
    profile.max_blast_radius = parse_blast_radius(*radius);
    if (!profile.max_blast_radius)
      in.fail_expected("max_blast_radius", "a number of at least 0, or one of \"low\", \"medium\", \"high\"", radius);
  }
  profile.auto_rollback = in.optional_boolean("auto_rollback");
  profile.max_error_count = in.optional_integer("max_error_count", {0, 1'000'000'000});
  profile.observation_window_seconds =
      in.optional_integer("observation_window_seconds", {1, max_observation_window_seconds});
  return profile;
}

boost::json::object safety_profile::encode() const {
  boost::json::object object;
  const auto number = [&](std::string_view name, const std::optional<base::decimal>& value) {
    if (value) object.emplace(name, to_json(*value));
  };
  const auto plain = [&](std::string_view name, const auto& value) {
    if (value) object.emplace(name, *value);
  };
  number("success_rate", success_rate);
  number("error_threshold", error_threshold);
  number("latency_threshold", latency_threshold);
  number("cost_threshold", cost_threshold);
  plain("needs_consensus", needs_consensus);
  number("max_risk_score", max_risk_score);
  if (max_blast_radius) object.emplace("max_blast_radius", to_json(*max_blast_radius));
  plain("auto_rollback", auto_rollback);
  plain("max_error_count", max_error_count);
  plain("observation_window_seconds", observation_window_seconds);
  return object;
}

safety_profile read_safety_profile(reader& in, std::string_view name) {
  const auto* object = in.object(name);
  if (object == nullptr) return {};
  return safety_profile::read(in.nested(name, *object));
}

}  // namespace fleet::messages
