// Metrics as one JSON object: what a command prints, or an address answers. Pure.
#pragma once
#include <string_view>

#include "common/base/error.hpp"
#include "common/messages/metrics.hpp"

namespace fleet::agent::metrics {

/// `{"error_rate": 0.02, "error_rate_n": 500}`: names and numbers, nothing else; null leaves a metric out. `setting` is
/// the key that the text comes by ("metrics.url"). Error `invalid_input` with every wrong field as `<setting>.<name>`.
base::result<messages::metric_set> parse_metrics_json(std::string_view text, std::string_view setting);

}  // namespace fleet::agent::metrics
