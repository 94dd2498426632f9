// What is measured: each section runs its figures in rounds, all queues one after the other within a round, so that
// what else the machine does hits everyone alike.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tests/bench/queue_bench/report.hpp"
#include "tests/bench/queue_bench/subject.hpp"

namespace fleet::bench {

struct plan {
  int rounds = 3;
  milliseconds publish_duration{1000};
  long backlog = 200'000;
  milliseconds flow_duration{4000};
  milliseconds latency_duration{10'000};
  milliseconds held_duration{90'000};
  milliseconds unheld_duration{0};  ///< of the same without a snapshot held; 0: left out
  milliseconds fan_out_duration{1000};
};

struct bench {
  test::private_postgres& server;
  std::vector<std::unique_ptr<subject>>& subjects;
  report& results;
  const plan& how;

  subject* find(const std::string& name) const;
};

void measure_publish(const bench& on);
void measure_drain(const bench& on);
void measure_produce_and_consume(const bench& on);
/// After produce + consume, whose figure says what 80 % of the maximum is; without it, that part is left out.
void measure_latency(const bench& on);
void measure_held_snapshot(const bench& on);
void measure_fan_out(const bench& on);
void measure_disk(const bench& on);

/// Runs `measure` and says on stderr what failed instead of ending the whole run: one queue's trouble is not the
/// others'.
void attempt(const std::string& what, const std::function<void()>& measure);

}  // namespace fleet::bench
