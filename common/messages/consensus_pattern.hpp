// Coordinator → every instance: a pattern that several instances confirmed.
#pragma once
#include <boost/json/object.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/decimal.hpp"
#include "common/base/error.hpp"
#include "common/base/ids.hpp"
#include "common/base/time.hpp"
#include "common/base/trace.hpp"
#include "common/messages/code_pattern.hpp"

namespace fleet::messages {

struct consensus_pattern {
  static constexpr std::string_view type_name = "consensus_pattern";

  std::string pattern_id;
  std::string pattern_type;
  code_pattern pattern;                       ///< field `code_pattern`
  base::decimal success_rate;                 ///< 0-1
  base::decimal consensus_score;              ///< 0-10: publishers use 0-1 as well as 1-10
  std::vector<std::string> source_instances;  ///< at most 10000
  std::int64_t usage_count = 0;
  base::timestamp timestamp;
  std::optional<base::trace_context> trace;  ///< field `traceparent`

  /// Error `invalid_input` with every wrong field.
  static base::result<consensus_pattern> decode(const boost::json::object& message);
  boost::json::object encode() const;
  bool operator==(const consensus_pattern&) const = default;
};

}  // namespace fleet::messages
