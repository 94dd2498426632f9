// Agent → coordinator: what one instance says about a proposal.
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
#include "common/messages/vote_choice.hpp"

namespace fleet::messages {

struct vote {
  static constexpr std::string_view type_name = "vote";

  base::proposal_id proposal_id;
  base::instance_id instance_id;              ///< who votes
  vote_choice choice = vote_choice::approve;  ///< field `vote`
  base::decimal confidence;                   ///< 0-1
  std::string reason;
  base::timestamp timestamp;
  std::optional<base::trace_context> trace;  ///< field `traceparent`

  /// Error `invalid_input` with every wrong field.
  static base::result<vote> decode(const boost::json::object& message);
  boost::json::object encode() const;
  bool operator==(const vote&) const = default;
};

}  // namespace fleet::messages
