#include "singularity_agent/execution/executor.hpp"

#include <algorithm>

namespace fleet::agent::execution {

bool retry_rule::again_after(const base::error& failed, int attempts) const {
  using base::error_kind;
  const auto passing = failed.kind == error_kind::unavailable || failed.kind == error_kind::timeout ||
                       failed.kind == error_kind::cancelled;
  return passing && attempts < max_attempts;
}

std::chrono::milliseconds retry_rule::pause_after(int attempts) const {
  return first_pause * (1 << std::clamp(attempts - 1, 0, 6));
}

}  // namespace fleet::agent::execution
