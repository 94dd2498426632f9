// Agent → coordinator: a pattern that worked on one instance.
#pragma once
#include <boost/json/object.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/decimal.hpp"
#include "common/base/error.hpp"
#include "common/base/ids.hpp"
#include "common/base/time.hpp"
#include "common/base/trace.hpp"
#include "common/messages/code_pattern.hpp"
#include "common/messages/reader.hpp"

namespace fleet::messages {

/// Far above any use; with counts at the end of their type, their sum over all instances would have no place in it.
inline constexpr integer_range usage_count_range{0, 1'000'000'000'000};

struct pattern_discovered {
  static constexpr std::string_view type_name = "pattern_discovered";

  base::instance_id instance_id;
  std::string pattern_type;
  code_pattern pattern;        ///< field `code_pattern`
  base::decimal success_rate;  ///< 0-1
  std::string agent_type;
  base::timestamp timestamp;
  std::optional<std::int64_t> usage_count;
  std::optional<base::trace_context> trace;  ///< field `traceparent`

  /// Error `invalid_input` with every wrong field.
  static base::result<pattern_discovered> decode(const boost::json::object& message);
  boost::json::object encode() const;
  bool operator==(const pattern_discovered&) const = default;
};

}  // namespace fleet::messages
