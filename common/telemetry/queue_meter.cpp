#include "common/telemetry/queue_meter.hpp"

#include <algorithm>

namespace fleet::telemetry {
namespace {

counter outcome_counter(metrics& registry, const std::string& queue, const char* outcome) {
  return registry.counter_of("quantumflow_messages_handled_total", {{"queue", queue}, {"outcome", outcome}});
}

}  // namespace

queue_meter::queue_meter(metrics& registry, const std::string& queue)
    : done_(outcome_counter(registry, queue, "done")),
      retried_(outcome_counter(registry, queue, "retried")),
      dead_(outcome_counter(registry, queue, "dead")),
      rejected_(outcome_counter(registry, queue, "rejected")),
      wait_(registry.histogram_of("quantumflow_message_wait_seconds", {{"queue", queue}})),
      batch_(registry.histogram_of("quantumflow_batch_processing_seconds", {{"queue", queue}})) {}

void queue_meter::settled(std::string_view outcome, base::timestamp enqueued_at, base::timestamp now) const {
  const auto& of = outcome == "done" ? done_ : outcome == "retried" ? retried_ : outcome == "dead" ? dead_ : rejected_;
  of.increment();
  // Two clocks that differ a little must not make a wait negative.
  const std::chrono::duration<double> waited = now - enqueued_at;
  wait_.observe(std::max(waited.count(), 0.0));
}

void queue_meter::processed(std::chrono::nanoseconds batch) const {
  batch_.observe(std::chrono::duration<double>(batch).count());
}

}  // namespace fleet::telemetry
