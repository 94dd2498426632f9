// Coordinator → the instance that applied a change: take it back.
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
#include "common/messages/metrics.hpp"

namespace fleet::messages {

enum class breach_severity { low, medium, high, critical };

std::string_view to_string(breach_severity value);
/// Nothing for any other text.
std::optional<breach_severity> parse_breach_severity(std::string_view text);

/// On the wire one object: each bound under its metric's name, and the other three. All empty where a person asked.
struct breached_threshold {
  metric_set bounds;                    ///< usually one
  std::optional<base::decimal> actual;  ///< what was measured
  std::optional<breach_severity> severity;
  std::optional<std::int64_t> breaches;  ///< in a row

  static breached_threshold read(reader in);
  boost::json::object encode() const;
  bool operator==(const breached_threshold&) const = default;
};

struct rollback_strategy {
  std::vector<std::string> steps;           ///< in their order, at most 50
  std::int64_t estimated_duration_sec = 0;  ///< up to 7 days
  bool requires_manual_intervention = false;
  std::optional<base::decimal> success_rate;  ///< 0-1; absent (null) before any rollback of the type has ended
  std::int64_t learned_from_count = 0;

  static rollback_strategy read(reader in);
  boost::json::object encode() const;
  bool operator==(const rollback_strategy&) const = default;
};

struct rollback_trigger {
  static constexpr std::string_view type_name = "rollback_trigger";

  base::proposal_id proposal_id;
  base::instance_id instance_id;  ///< who applied it
  std::string reason;             ///< `<metric>_breach`, `operator`, …
  breached_threshold threshold;
  base::timestamp timestamp;
  std::optional<std::string> rollback_id;
  std::optional<rollback_strategy> strategy;
  std::optional<base::trace_context> trace;  ///< field `traceparent`

  /// Error `invalid_input` with every wrong field.
  static base::result<rollback_trigger> decode(const boost::json::object& message);
  boost::json::object encode() const;
  bool operator==(const rollback_trigger&) const = default;
};

}  // namespace fleet::messages
