// Coordinator → any outside consumer: one round of learning has ended.
#pragma once
#include <boost/json/object.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/error.hpp"
#include "common/base/ids.hpp"
#include "common/base/time.hpp"
#include "common/base/trace.hpp"

namespace fleet::messages {

struct learning_loop_completed {
  static constexpr std::string_view type_name = "learning_loop_completed";

  std::int64_t patterns_processed = 0;
  std::int64_t rules_generated = 0;
  std::int64_t thresholds_updated = 0;
  base::timestamp timestamp;
  std::optional<base::trace_context> trace;  ///< field `traceparent`

  /// Error `invalid_input` with every wrong field.
  static base::result<learning_loop_completed> decode(const boost::json::object& message);
  boost::json::object encode() const;
  bool operator==(const learning_loop_completed&) const = default;
};

}  // namespace fleet::messages
