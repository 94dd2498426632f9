#include "singularity_agent/metrics/metrics_json.hpp"

#include <fmt/format.h>

#include <string>

#include "common/base/json.hpp"
#include "common/messages/reader.hpp"

namespace fleet::agent::metrics {

base::result<messages::metric_set> parse_metrics_json(std::string_view text, std::string_view setting) {
  constexpr base::json_limits limits{256U * 1024, 4};
  const auto object = base::parse_json_object(text, limits);
  if (!object) {
    auto wrong = object.error();
    wrong.message = fmt::format("{}: {}", setting, wrong.message);
    return wrong;
  }
  messages::reader in(*object, std::string(setting));
  auto metrics = messages::read_metrics(in);
  if (!in.ok()) return in.error();
  return metrics;
}

}  // namespace fleet::agent::metrics
