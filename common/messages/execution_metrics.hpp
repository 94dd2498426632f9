// Agent → coordinator: how a change is doing.
#pragma once
#include <boost/json/object.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/error.hpp"
#include "common/base/ids.hpp"
#include "common/base/time.hpp"
#include "common/base/trace.hpp"
#include "common/messages/metrics.hpp"

namespace fleet::messages {

enum class execution_status { executing, applied, monitoring, failed, rolled_back, rollback_failed };

std::string_view to_string(execution_status value);

struct execution_metrics {
  static constexpr std::string_view type_name = "execution_metrics";

  base::proposal_id proposal_id;
  base::instance_id instance_id;  ///< who applied it
  std::string agent_type;
  metric_set metrics_before;
  metric_set metrics_after;
  execution_status status = execution_status::executing;
  base::timestamp timestamp;
  std::optional<base::trace_context> trace;       ///< field `traceparent`: the proposal's
  std::optional<base::trace_context> told_trace;  ///< field `metrics_traceparent`: see trace.hpp

  /// Error `invalid_input` with every wrong field.
  static base::result<execution_metrics> decode(const boost::json::object& message);
  boost::json::object encode() const;
  bool operator==(const execution_metrics&) const = default;
};

}  // namespace fleet::messages
