#include "common/messages/voting_request.hpp"

#include "common/messages/proposal_metadata.hpp"
#include "common/messages/trace.hpp"

namespace fleet::messages {

base::result<voting_request> voting_request::decode(const boost::json::object& message) {
  reader in(message);
  if (!read_header(in, type_name)) return in.error();
  voting_request out;
  out.proposal_id = in.proposal_id();
  out.instance_id = in.instance_id();
  out.agent_type = in.id("agent_type");
  out.code_change = in.free_object("code_change", false);
  out.impact_score = in.number("impact_score", score_range);
  out.risk_score = in.number("risk_score", score_range);
  out.profile = read_safety_profile(in);
  out.metadata = read_proposal_metadata(in);
  out.deadline = in.time("deadline");
  out.timestamp = in.time("timestamp");
  out.trace = read_trace(message);
  if (!in.ok()) return in.error();
  return out;
}

boost::json::object voting_request::encode() const {
  boost::json::object object{{"type", type_name}};
  object.emplace("proposal_id", proposal_id.str());
  object.emplace("instance_id", instance_id.str());
  object.emplace("agent_type", agent_type);
  object.emplace("code_change", code_change);
  object.emplace("impact_score", to_json(impact_score));
  object.emplace("risk_score", to_json(risk_score));
  object.emplace("safety_profile", profile.encode());
  object.emplace("metadata", metadata);
  object.emplace("deadline", to_json(deadline));
  object.emplace("timestamp", to_json(timestamp));
  add_trace(object, trace);
  return object;
}

}  // namespace fleet::messages
