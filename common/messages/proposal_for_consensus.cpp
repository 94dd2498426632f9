#include "common/messages/proposal_for_consensus.hpp"

#include "common/messages/proposal_metadata.hpp"
#include "common/messages/trace.hpp"

namespace fleet::messages {

base::result<proposal_for_consensus> proposal_for_consensus::decode(const boost::json::object& message) {
  reader in(message);
  if (!read_header(in, type_name)) return in.error();
  proposal_for_consensus out;
  out.proposal_id = in.proposal_id();
  out.instance_id = in.instance_id();
  out.agent_type = in.id("agent_type");
  out.code_change = in.free_object("code_change", false);
  out.impact_score = in.number("impact_score", score_range);
  out.risk_score = in.number("risk_score", score_range);
  out.profile = read_safety_profile(in);
  out.timestamp = in.time("timestamp");
  out.agent_id = in.optional_id("agent_id");
  out.priority_score = in.optional_number("priority_score", non_negative);
  out.metadata = read_optional_proposal_metadata(in);
  out.preview = in.optional_free_object("preview");
  out.trace = read_trace(message);
  if (!in.ok()) return in.error();
  return out;
}

boost::json::object proposal_for_consensus::encode() const {
  boost::json::object object{{"type", type_name}};
  object.emplace("proposal_id", proposal_id.str());
  object.emplace("instance_id", instance_id.str());
  object.emplace("agent_type", agent_type);
  object.emplace("code_change", code_change);
  object.emplace("impact_score", to_json(impact_score));
  object.emplace("risk_score", to_json(risk_score));
  object.emplace("safety_profile", profile.encode());
  object.emplace("timestamp", to_json(timestamp));
  if (agent_id) object.emplace("agent_id", *agent_id);
  if (priority_score) object.emplace("priority_score", to_json(*priority_score));
  if (metadata) object.emplace("metadata", *metadata);
  if (preview) object.emplace("preview", *preview);
  add_trace(object, trace);
  return object;
}

}  // namespace fleet::messages
