// Coordinator → every instance: a vote has been opened.
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

struct voting_request {
  static constexpr std::string_view type_name = "voting_request";

  base::proposal_id proposal_id;
  base::instance_id instance_id;  ///< who proposed
  std::string agent_type;
  boost::json::object code_change;  ///< not empty
  base::decimal impact_score;       ///< 1-10
  base::decimal risk_score;         ///< 1-10
  safety_profile profile;           ///< field `safety_profile`
  boost::json::object metadata;     ///< empty where the proposal had none
  base::timestamp deadline;         ///< votes after it are not counted
  base::timestamp timestamp;
  std::optional<base::trace_context> trace;  ///< field `traceparent`

  /// Error `invalid_input` with every wrong field.
  static base::result<voting_request> decode(const boost::json::object& message);
  boost::json::object encode() const;
  bool operator==(const voting_request&) const = default;
};

}  // namespace fleet::messages
