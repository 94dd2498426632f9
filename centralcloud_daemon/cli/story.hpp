// One proposal's story, for people.
#pragma once
#include <boost/json/object.hpp>
#include <string>

namespace fleet::central::cli {

/// From what `proposal_story` gives: what was proposed, who voted how, the decision, each step, samples, the rollback.
std::string format_story(const boost::json::object& story);

}  // namespace fleet::central::cli
