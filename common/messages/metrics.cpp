#include "common/messages/metrics.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "common/base/text.hpp"

namespace fleet::messages {
namespace {

constexpr std::array<metric_info, 9> table{{
    {"success_rate", "fraction", unit_range},
    {"error_rate", "fraction", unit_range},
    {"latency_p95_ms", "ms", non_negative},
    {"cost_cents", "cents", non_negative},
    {"throughput_per_min", "per minute", non_negative},
    {"cpu_usage", "percent", non_negative},
    {"memory", "MiB", non_negative},
    {"error_count", "errors", non_negative},
    {"execution_count", "executions", non_negative},
}};

}  // namespace

std::span<const metric_info> known_metrics() {
  return table;
}

number_range metric_range(std::string_view name) {
  const auto found = std::find_if(table.begin(), table.end(), [&](const auto& info) { return info.name == name; });
  if (found != table.end()) return found->range;
  return name.ends_with("_n") ? non_negative : any_number;
}

metric_set read_metrics(reader in) {
  metric_set metrics;
  if (in.source().size() > max_metrics) {
    in.fail("", fmt::format("expected at most {} metrics, got {}", max_metrics, in.source().size()));
    return metrics;
  }
  for (const auto& member : in.source()) {
    const std::string_view name = member.key();
    if (!base::is_valid_id(name) || name.size() > max_metric_name_bytes)
      in.fail(name, "expected a metric's name of 1 to 100 bytes without control characters");
    else if (const auto value = in.optional_number(name, metric_range(name)))
      metrics.emplace(name, *value);
  }
  return metrics;
}

metric_set read_metrics(reader& in, std::string_view name) {
  const auto* object = in.object(name);
  if (object == nullptr) return {};
  return read_metrics(in.nested(name, *object));
}

boost::json::object encode_metrics(const metric_set& metrics) {
  boost::json::object object;
  for (const auto& [name, value] : metrics) object.emplace(name, to_json(value));
  return object;
}

std::optional<base::decimal> sample_size(const metric_set& metrics, std::string_view name) {
  const auto found = metrics.find(std::string(name) + "_n");
  if (found == metrics.end()) return std::nullopt;
  return found->second;
}

}  // namespace fleet::messages
