// What a caller may submit: its fields, checked before anything is written.
#pragma once
#include <boost/json/object.hpp>
#include <optional>
#include <string>

#include "common/base/decimal.hpp"
#include "common/base/error.hpp"
#include "common/base/ids.hpp"
#include "common/base/trace.hpp"
#include "common/messages/proposal_for_consensus.hpp"

namespace fleet::agent::proposals {

struct submission {
  base::proposal_id proposal_id;  ///< the caller's, or a new UUID
  std::string agent_type;
  std::optional<std::string> agent_id;
  boost::json::object code_change;
  base::decimal impact_score;
  base::decimal risk_score;
  boost::json::object safety_profile;  ///< as given, unknown fields included; empty where the type's own is to be used
  std::optional<boost::json::object> metadata;
  base::trace_context trace;  ///< field `traceparent`, or one of its own

  /// For `singularity.submit`.
  boost::json::object encode() const;
};

enum class change_form {
  git,  ///< checked as the git executor will: a patch or files, with paths inside the repository
  any   ///< an object that is not empty
};

/// Error `invalid_input` with every wrong field.
base::result<submission> parse_submission(const boost::json::object& body, change_form form);

/// The message of a proposal as `proposal_repository::find` gives it.
base::result<messages::proposal_for_consensus> message_of(boost::json::object stored, base::decimal priority);

}  // namespace fleet::agent::proposals
