// The metrics of a change: names, ranges, and the object that carries them.
#pragma once
#include <boost/json/object.hpp>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "common/base/decimal.hpp"
#include "common/messages/reader.hpp"

namespace fleet::messages {

/// Value by name; a metric's sample size is under `<name>_n`.
using metric_set = std::map<std::string, base::decimal>;

struct metric_info {
  std::string_view name;
  std::string_view unit;
  number_range range;
};

/// success_rate, error_rate, latency_p95_ms, cost_cents, throughput_per_min, cpu_usage, memory, error_count,
/// execution_count.
std::span<const metric_info> known_metrics();
/// What the metric may be: known metrics and `<name>_n` have a range, any other metric may be any number.
number_range metric_range(std::string_view name);

inline constexpr std::size_t max_metrics = 200;
inline constexpr std::size_t max_metric_name_bytes = 100;

/// Every field of the object is a metric: names are 1-100 bytes without control characters, values numbers in their
/// range. A null is no value and is left out.
metric_set read_metrics(reader in);
/// Reads the required field `name` of `in` as metrics.
metric_set read_metrics(reader& in, std::string_view name);
boost::json::object encode_metrics(const metric_set& metrics);

/// The sample size of a metric, where it is given.
std::optional<base::decimal> sample_size(const metric_set& metrics, std::string_view name);

}  // namespace fleet::messages
