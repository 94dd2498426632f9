#include "common/async/backoff.hpp"

#include <algorithm>
#include <random>

namespace fleet::async {

std::chrono::nanoseconds backoff_delay(const backoff_policy& policy, unsigned failures, double random01) {
  const double jitter = std::clamp(policy.jitter, 0.0, 1.0);
  const double factor = std::max(policy.factor, 1.0);
  const double cap = static_cast<double>(policy.max.count()) / (1.0 + jitter);
  double base = static_cast<double>(policy.initial.count());
  // Past the cap nothing changes, so the loop is bounded even where `failures` is not.
  for (unsigned i = 1; i < failures && base < cap && i < 1024; ++i) base *= factor;
  const double delay = std::min(base, cap) * (1.0 + jitter * std::clamp(random01, 0.0, 1.0));
  return std::min(policy.max, std::chrono::nanoseconds(static_cast<std::chrono::nanoseconds::rep>(delay)));
}

std::chrono::nanoseconds backoff::next(double random01) {
  if (failures_ < 1024) ++failures_;
  return backoff_delay(policy_, failures_, random01);
}

double random01() {
  thread_local std::minstd_rand source{std::random_device{}()};
  return std::uniform_real_distribution<double>(0.0, 1.0)(source);
}

}  // namespace fleet::async
