// What the journal of an execution says of a step, as JSON, and read back. Pure. Names of files have any bytes, and a
// journal that cannot be written would have the step done again for ever: what is not UTF-8 becomes "?" here.
#pragma once
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/error.hpp"
#include "singularity_agent/execution/executor.hpp"
#include "singularity_agent/execution/rollback_steps.hpp"

namespace fleet::agent::execution {

/// A text or object field; empty where it is absent or of another type.
std::string text_of(const boost::json::object& from, std::string_view name);
boost::json::object object_of(const boost::json::object& from, std::string_view name);

/// The detail of a journaled step of `proposal` ({journal: {step: {outcome, detail}}}) that ended with `outcome`; null
/// where there is none.
const boost::json::object* step_detail(const boost::json::object& proposal, std::string_view step,
                                       std::string_view outcome);

boost::json::object detail_of(const applied_change& applied);
applied_change applied_from(const boost::json::object& detail);
boost::json::object error_detail(const base::error& error);
boost::json::object verification_detail(const base::result<verification>& verified);
/// One sentence; empty where it passed.
std::string verification_failure(const base::result<verification>& verified);
boost::json::array steps_detail(const std::vector<step_result>& steps);

}  // namespace fleet::agent::execution
