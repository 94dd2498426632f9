#include "common/messages/rollback_trigger.hpp"

#include <algorithm>
#include <array>
#include <boost/json/array.hpp>

#include "common/messages/trace.hpp"

namespace fleet::messages {
namespace {

constexpr std::array<named_value<breach_severity>, 4> severities{{{"low", breach_severity::low},
                                                                  {"medium", breach_severity::medium},
                                                                  {"high", breach_severity::high},
                                                                  {"critical", breach_severity::critical}}};

bool is_known_metric(std::string_view name) {
  const auto known = known_metrics();
  return std::any_of(known.begin(), known.end(), [&](const auto& info) { return info.name == name; });
}

}  // namespace

std::string_view to_string(breach_severity value) {
  return name_of<breach_severity>(severities, value);
}

std::optional<breach_severity> parse_breach_severity(std::string_view text) {
  for (const auto& [name, value] : severities)
    if (name == text) return value;
  return std::nullopt;
}

// A metric's name may be any, so a field that is not known is a bound where it is a number, and otherwise a field of
// some later version.
breached_threshold breached_threshold::read(reader in) {
  breached_threshold out;
  out.actual = in.optional_number("actual", any_number);
  if (in.has("severity")) out.severity = in.choice<breach_severity>("severity", severities);
  out.breaches = in.optional_integer("breaches", {1, 1'000'000'000});
  boost::json::object bounds;
  for (const auto& member : in.source()) {
    const std::string_view name = member.key();
    if (name == "actual" || name == "severity" || name == "breaches") continue;
    if (member.value().is_number() || is_known_metric(name)) bounds.emplace(name, member.value());
  }
  out.bounds = read_metrics(in.nested("", bounds));
  return out;
}

boost::json::object breached_threshold::encode() const {
  auto object = encode_metrics(bounds);
  if (actual) object.emplace("actual", to_json(*actual));
  if (severity) object.emplace("severity", to_string(*severity));
  if (breaches) object.emplace("breaches", *breaches);
  return object;
}

rollback_strategy rollback_strategy::read(reader in) {
  rollback_strategy out;
  out.steps = in.ids("steps", 50);
  out.estimated_duration_sec = in.integer("estimated_duration_sec", {0, 7 * 24 * 3600});
  out.requires_manual_intervention = in.boolean("requires_manual_intervention");
  out.success_rate = in.optional_number("success_rate", unit_range);
  out.learned_from_count = in.optional_integer("learned_from_count").value_or(0);
  return out;
}

boost::json::object rollback_strategy::encode() const {
  boost::json::object object;
  object.emplace("steps", boost::json::array(steps.begin(), steps.end()));
  object.emplace("estimated_duration_sec", estimated_duration_sec);
  object.emplace("requires_manual_intervention", requires_manual_intervention);
  object.emplace("success_rate", success_rate ? to_json(*success_rate) : boost::json::value(nullptr));
  object.emplace("learned_from_count", learned_from_count);
  return object;
}

base::result<rollback_trigger> rollback_trigger::decode(const boost::json::object& message) {
  reader in(message);
  if (!read_header(in, type_name)) return in.error();
  rollback_trigger out;
  out.proposal_id = in.proposal_id();
  out.instance_id = in.instance_id();
  out.reason = in.id("reason");
  if (const auto* bounds = in.object("threshold"))
    out.threshold = breached_threshold::read(in.nested("threshold", *bounds));
  out.timestamp = in.time("timestamp");
  out.rollback_id = in.optional_id("rollback_id");
  if (const auto* plan = in.optional_object("strategy"))
    out.strategy = rollback_strategy::read(in.nested("strategy", *plan));
  out.trace = read_trace(message);
  if (!in.ok()) return in.error();
  return out;
}

boost::json::object rollback_trigger::encode() const {
  boost::json::object object{{"type", type_name}};
  object.emplace("proposal_id", proposal_id.str());
  object.emplace("instance_id", instance_id.str());
  object.emplace("reason", reason);
  object.emplace("threshold", threshold.encode());
  object.emplace("timestamp", to_json(timestamp));
  if (rollback_id) object.emplace("rollback_id", *rollback_id);
  if (strategy) object.emplace("strategy", strategy->encode());
  add_trace(object, trace);
  return object;
}

}  // namespace fleet::messages
