// Agent → coordinator: a change that asks for the fleet's agreement.
#pragma once
#include <boost/json/object.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/decimal.hpp"
#include "common/base/error.hpp"
#include "common/base/ids.hpp"
#include "common/base/time.hpp"
#include "common/base/trace.hpp"
#include "common/messages/safety_profile.hpp"

namespace fleet::messages {

struct proposal_for_consensus {
  static constexpr std::string_view type_name = "proposal_for_consensus";

  base::proposal_id proposal_id;
  base::instance_id instance_id;  ///< who proposes
  std::string agent_type;
  boost::json::object code_change;  ///< not empty; its form is the executor's matter, see git_change.hpp
  base::decimal impact_score;       ///< 1-10
  base::decimal risk_score;         ///< 1-10
  safety_profile profile;           ///< field `safety_profile`
  base::timestamp timestamp;
  std::optional<std::string> agent_id;
  std::optional<base::decimal> priority_score;  ///< at least 0
  std::optional<boost::json::object> metadata;  ///< see proposal_metadata.hpp
  /// What the proposing instance says that the change does to its files, for people: {commit, files: {path: hunks}}.
  std::optional<boost::json::object> preview;
  std::optional<base::trace_context> trace;  ///< field `traceparent`

  /// Error `invalid_input` with every wrong field.
  static base::result<proposal_for_consensus> decode(const boost::json::object& message);
  boost::json::object encode() const;
  bool operator==(const proposal_for_consensus&) const = default;
};

}  // namespace fleet::messages
