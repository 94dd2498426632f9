// How long to wait before the next attempt: grows by a factor up to a cap, spread by jitter. Pure.
#pragma once
#include <chrono>

namespace fleet::async {

struct backoff_policy {
  std::chrono::nanoseconds initial = std::chrono::milliseconds(100);
  std::chrono::nanoseconds max = std::chrono::seconds(30);
  double factor = 2.0;  ///< at least 1
  double jitter = 0.2;  ///< 0-1: a delay is lengthened by up to this part of itself
};

/// The delay after failure number `failures` (1 is the first): initial × factor^(failures-1), lengthened by up to
/// `jitter` of itself, never above `max`. Delays at the cap stay spread: they lie between max / (1 + jitter) and max.
/// `random01` is a number in [0, 1].
std::chrono::nanoseconds backoff_delay(const backoff_policy& policy, unsigned failures, double random01);

/// Counts the failures in a row.
class backoff {
 public:
  using duration = std::chrono::nanoseconds;

  backoff() = default;
  explicit backoff(backoff_policy policy) : policy_(policy) {}
  /// The delay before the next attempt, after one more failure.
  duration next(double random01);
  void reset() { failures_ = 0; }
  unsigned failures() const { return failures_; }

 private:
  backoff_policy policy_;
  unsigned failures_ = 0;
};

/// A number in [0, 1) for jitter; not for secrets.
double random01();

}  // namespace fleet::async
