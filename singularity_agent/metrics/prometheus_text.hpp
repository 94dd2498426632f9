// The Prometheus text exposition format (version 0.0.4), and which of its samples are metrics of ours. Pure.
#pragma once
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/error.hpp"
#include "common/messages/metrics.hpp"

namespace fleet::agent::metrics {

using label_set = std::map<std::string, std::string, std::less<>>;

struct exposed_sample {
  std::string name;
  label_set labels;
  double value = 0;  ///< may be infinite or no number
};

constexpr std::size_t max_exposed_samples = 100'000;

/// Comments and time stamps are passed over. Error `invalid_input` naming the line.
base::result<std::vector<exposed_sample>> parse_exposition(std::string_view text);

/// `http_requests_total{code="500"}`: the name, and labels that a sample must have among its own.
struct sample_selector {
  std::string name;
  label_set labels;
  /// Error `invalid_input`.
  static base::result<sample_selector> parse(std::string_view text);
};

/// Our metric's name → what is summed up for it.
using metric_mapping = std::map<std::string, sample_selector, std::less<>>;

/// `error_count=app_errors_total, latency_p95_ms=app_latency{quantile="0.95"}`; at most `messages::max_metrics`. Error
/// `invalid_input` naming the part, also for a metric that is there twice.
base::result<metric_mapping> parse_mapping(std::string_view text);

/// With a mapping: the sum over the samples that each selector matches; one that matches none, or a sum that is no
/// finite number, is left out. Without: the samples without labels that bear the name of a known metric or of its
/// sample size. Error `invalid_input`: a value out of its metric's range.
base::result<messages::metric_set> select_metrics(const std::vector<exposed_sample>& samples,
                                                  const metric_mapping& mapping);

}  // namespace fleet::agent::metrics
