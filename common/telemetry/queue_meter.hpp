// What a daemon's consumers of one queue do: how long messages waited, how long batches take, what became of them.
#pragma once
#include <chrono>
#include <string>
#include <string_view>

#include "common/base/time.hpp"
#include "common/telemetry/metrics.hpp"

namespace fleet::telemetry {

/// Every series is there from the start, at zero. Cheap to copy; the registry must outlive it.
class queue_meter {
 public:
  queue_meter(metrics& registry, const std::string& queue);

  /// A message was settled by a commit. `outcome`: done, retried, dead or rejected.
  void settled(std::string_view outcome, base::timestamp enqueued_at, base::timestamp now) const;
  void processed(std::chrono::nanoseconds batch) const;

 private:
  counter done_, retried_, dead_, rejected_;
  histogram wait_, batch_;
};

}  // namespace fleet::telemetry
