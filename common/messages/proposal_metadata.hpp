// The free-form metadata of a proposal, and the few fields of it that this software reads.
#pragma once
#include <boost/json/object.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "common/messages/blast_radius.hpp"
#include "common/messages/reader.hpp"

namespace fleet::messages {

/// A copy of the required field `name` of `in`. Unknown fields are kept; of the known ones `change_type` is an id,
/// `description` a text, `blast_radius` a text or a number of at least 0, `trial_results` an object;
/// `expected_improvement` may be anything.
boost::json::object read_proposal_metadata(reader& in, std::string_view name = "metadata");
/// The same where the field may be absent or null.
std::optional<boost::json::object> read_optional_proposal_metadata(reader& in, std::string_view name = "metadata");

/// Empty where there is none.
std::string change_type_of(const boost::json::object& metadata);
/// Nothing where there is none, or where its text is none of the known words.
std::optional<blast_radius> blast_radius_of(const boost::json::object& metadata);

}  // namespace fleet::messages
