#include "common/telemetry/health.hpp"

#include <algorithm>

namespace fleet::telemetry {

void health_state::require(const std::string& name, std::string reason) {
  conditions_.try_emplace(name, condition{name, false, std::move(reason)});
}

void health_state::set(const std::string& name, bool ok, std::string reason) {
  conditions_[name] = condition{name, ok, ok ? std::string() : std::move(reason)};
}

bool health_state::ready() const {
  return std::all_of(conditions_.begin(), conditions_.end(), [](const auto& entry) { return entry.second.ok; });
}

std::vector<health_state::condition> health_state::missing() const {
  auto some = all();
  std::erase_if(some, [](const auto& one) { return one.ok; });
  return some;
}

std::vector<health_state::condition> health_state::all() const {
  std::vector<condition> every;
  every.reserve(conditions_.size());
  for (const auto& [name, one] : conditions_) every.push_back(one);
  return every;
}

}  // namespace fleet::telemetry
