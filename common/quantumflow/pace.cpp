#include "common/quantumflow/pace.hpp"

#include <algorithm>

namespace fleet::quantumflow {

int next_batch_size(const pace_limits& limits, int asked, std::size_t handled, std::chrono::nanoseconds took) {
  const std::chrono::nanoseconds longest = limits.longest_batch;
  if (took > longest && handled > 0) {
    const double fits =
        static_cast<double>(handled) * (static_cast<double>(longest.count()) / static_cast<double>(took.count()));
    return std::clamp(static_cast<int>(fits), limits.smallest, limits.largest);
  }
  if (handled >= static_cast<std::size_t>(asked) && took < longest / 2) return std::min(asked * 2, limits.largest);
  return asked;
}

std::chrono::milliseconds linger_before_next(const pace_limits& limits, int asked, std::size_t handled,
                                             std::chrono::nanoseconds since_last, bool same_lane) {
  if (!same_lane || handled < 2 || handled >= static_cast<std::size_t>(asked)) return std::chrono::milliseconds(0);
  // Over no less than the time it would wait: two messages that came side by side are no stream.
  const std::chrono::nanoseconds over = std::max<std::chrono::nanoseconds>(since_last, limits.linger);
  const double seconds = std::chrono::duration<double>(over).count();
  if (static_cast<double>(handled) < limits.busy_rate * seconds) return std::chrono::milliseconds(0);
  return limits.linger;
}

std::chrono::milliseconds stay_up(std::int64_t listeners) {
  constexpr std::int64_t few = 25;
  constexpr std::int64_t many = 200;
  if (listeners < few) return std::chrono::milliseconds(0);
  return std::chrono::milliseconds(std::min(listeners, many) / 2);
}

}  // namespace fleet::quantumflow
