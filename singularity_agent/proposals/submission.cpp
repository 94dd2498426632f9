#include "singularity_agent/proposals/submission.hpp"

#include "common/messages/git_change.hpp"
#include "common/messages/proposal_metadata.hpp"
#include "common/messages/reader.hpp"
#include "common/messages/safety_profile.hpp"
#include "common/messages/trace.hpp"
#include "singularity_agent/proposals/proposal_scorer.hpp"

namespace fleet::agent::proposals {
namespace {

base::result<void> check_git_change(const boost::json::object& code_change) {
  const auto change = messages::parse_git_change(code_change);
  if (!change) return change.error();
  if (const auto paths = messages::paths_of(*change); !paths) return paths.error();
  return {};
}

}  // namespace

base::result<submission> parse_submission(const boost::json::object& body, change_form form) {
  messages::reader in(body);
  submission made;
  made.proposal_id = base::proposal_id(in.optional_id("proposal_id").value_or(std::string()));
  made.agent_type = in.id("agent_type");
  made.agent_id = in.optional_id("agent_id");
  made.code_change = in.free_object("code_change", false);
  made.impact_score = in.optional_number("impact_score", messages::score_range).value_or(score_input{}.impact);
  made.risk_score = in.optional_number("risk_score", messages::score_range).value_or(score_input{}.risk);
  made.safety_profile = in.free_object("safety_profile");
  if (const auto* profile = in.find("safety_profile"); profile != nullptr && profile->is_object())
    messages::read_safety_profile(in);
  made.metadata = messages::read_optional_proposal_metadata(in);
  if (!in.ok()) return in.error();
  if (form == change_form::git) {
    if (const auto good = check_git_change(made.code_change); !good) return good.error();
  }
  made.trace = messages::read_trace(body).value_or(base::trace_context::begin());
  if (made.proposal_id.empty()) made.proposal_id = base::proposal_id(base::new_uuid());
  return made;
}

boost::json::object submission::encode() const {
  boost::json::object object;
  object["proposal_id"] = proposal_id.str();
  object["agent_type"] = agent_type;
  if (agent_id) object["agent_id"] = *agent_id;
  object["code_change"] = code_change;
  object["impact_score"] = messages::to_json(impact_score);
  object["risk_score"] = messages::to_json(risk_score);
  object["safety_profile"] = safety_profile;
  if (metadata) object["metadata"] = *metadata;
  object["traceparent"] = trace.str();
  return object;
}

base::result<messages::proposal_for_consensus> message_of(boost::json::object stored, base::decimal priority) {
  stored["type"] = messages::proposal_for_consensus::type_name;
  stored["timestamp"] = stored["submitted_at"];
  stored["priority_score"] = messages::to_json(priority);
  return messages::proposal_for_consensus::decode(stored);
}

}  // namespace fleet::agent::proposals
