// Coordinator → the proposing instance: the one decision about a proposal.
#pragma once
#include <boost/json/object.hpp>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/decimal.hpp"
#include "common/base/error.hpp"
#include "common/base/ids.hpp"
#include "common/base/time.hpp"
#include "common/base/trace.hpp"
#include "common/messages/vote_choice.hpp"

namespace fleet::messages {

enum class consensus_status { approved, rejected };

std::string_view to_string(consensus_status value);

struct vote_detail {
  base::instance_id instance_id;
  vote_choice choice = vote_choice::approve;  ///< field `vote`
  base::decimal confidence;                   ///< 0-1
  std::string reason;
  base::timestamp voted_at;
  bool operator==(const vote_detail&) const = default;
};

struct consensus_result {
  static constexpr std::string_view type_name = "consensus_result";

  base::proposal_id proposal_id;
  base::instance_id instance_id;  ///< who proposed
  consensus_status status = consensus_status::rejected;
  std::map<std::string, vote_choice> votes;  ///< by instance; at most 10000
  base::decimal confidence;                  ///< 0-1, mean over all votes
  std::string decision_rationale;
  base::timestamp timestamp;
  std::optional<std::string> rule;  ///< which rule decided; a text, so that a newer coordinator may have more rules
  std::optional<std::vector<vote_detail>> vote_details;
  std::optional<base::trace_context> trace;  ///< field `traceparent`

  /// Error `invalid_input` with every wrong field.
  static base::result<consensus_result> decode(const boost::json::object& message);
  boost::json::object encode() const;
  bool operator==(const consensus_result&) const = default;
};

}  // namespace fleet::messages
