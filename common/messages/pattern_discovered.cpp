#include "common/messages/pattern_discovered.hpp"

#include "common/messages/trace.hpp"

namespace fleet::messages {

base::result<pattern_discovered> pattern_discovered::decode(const boost::json::object& message) {
  reader in(message);
  if (!read_header(in, type_name)) return in.error();
  pattern_discovered out;
  out.instance_id = in.instance_id();
  out.pattern_type = in.id("pattern_type");
  out.pattern = read_code_pattern(in);
  out.success_rate = in.number("success_rate", unit_range);
  out.agent_type = in.id("agent_type");
  out.timestamp = in.time("timestamp");
  out.usage_count = in.optional_integer("usage_count", usage_count_range);
  out.trace = read_trace(message);
  if (!in.ok()) return in.error();
  return out;
}

boost::json::object pattern_discovered::encode() const {
  boost::json::object object{{"type", type_name}};
  object.emplace("instance_id", instance_id.str());
  object.emplace("pattern_type", pattern_type);
  object.emplace("code_pattern", pattern.encode());
  object.emplace("success_rate", to_json(success_rate));
  object.emplace("agent_type", agent_type);
  object.emplace("timestamp", to_json(timestamp));
  if (usage_count) object.emplace("usage_count", *usage_count);
  add_trace(object, trace);
  return object;
}

}  // namespace fleet::messages
