#include "common/messages/vote.hpp"

#include "common/messages/trace.hpp"

namespace fleet::messages {

base::result<vote> vote::decode(const boost::json::object& message) {
  reader in(message);
  if (!read_header(in, type_name)) return in.error();
  vote out;
  out.proposal_id = in.proposal_id();
  out.instance_id = in.instance_id();
  out.choice = read_vote_choice(in);
  out.confidence = in.number("confidence", unit_range);
  out.reason = in.text("reason", free_text);
  out.timestamp = in.time("timestamp");
  out.trace = read_trace(message);
  if (!in.ok()) return in.error();
  return out;
}

boost::json::object vote::encode() const {
  boost::json::object object{{"type", type_name}};
  object.emplace("proposal_id", proposal_id.str());
  object.emplace("instance_id", instance_id.str());
  object.emplace("vote", to_string(choice));
  object.emplace("confidence", to_json(confidence));
  object.emplace("reason", reason);
  object.emplace("timestamp", to_json(timestamp));
  add_trace(object, trace);
  return object;
}

}  // namespace fleet::messages
