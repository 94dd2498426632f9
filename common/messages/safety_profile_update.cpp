#include "common/messages/safety_profile_update.hpp"

namespace fleet::messages {

base::result<safety_profile_update> safety_profile_update::decode(const boost::json::object& message) {
  reader in(message);
  if (!read_header(in, type_name)) return in.error();
  safety_profile_update out;
  out.instance_id = in.instance_id();
  out.agent_type = in.id("agent_type");
  out.profile = read_safety_profile(in);
  out.source = in.id("source");
  out.timestamp = in.time("timestamp");
  if (!in.ok()) return in.error();
  return out;
}

boost::json::object safety_profile_update::encode() const {
  boost::json::object object{{"type", type_name}};
  object.emplace("instance_id", instance_id.str());
  object.emplace("agent_type", agent_type);
  object.emplace("safety_profile", profile.encode());
  object.emplace("source", source);
  object.emplace("timestamp", to_json(timestamp));
  return object;
}

}  // namespace fleet::messages
