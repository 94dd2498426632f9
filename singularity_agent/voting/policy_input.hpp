// From a voting request to what the policy voter judges. Pure.
#pragma once
#include <boost/json/object.hpp>

#include "common/messages/voting_request.hpp"
#include "singularity_agent/voting/policy.hpp"

namespace fleet::agent::voting {

/// A change with a `patch` or `files` is read as the git executor reads it; any other one is `unknown`. `bytes` counts
/// the patch, or the names and contents of the files; for an unknown change its JSON text.
change_summary summarize(const boost::json::object& code_change);

/// Trial results that are no numbers from 0 to 1 count as absent.
ballot_input ballot_input_of(const messages::voting_request& request);

}  // namespace fleet::agent::voting
