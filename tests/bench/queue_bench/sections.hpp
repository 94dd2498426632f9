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
  std::vector<int> connections = {1, 2, 4, 8};  ///< of single publishes; several a call have 1 and 8
  milliseconds publish_duration{1000};
  long backlog = 200'000;
  milliseconds flow_duration{3000};
  milliseconds latency_duration{5000};
  milliseconds held_duration{90'000};
  milliseconds unheld_duration{0};  ///< of the same without a snapshot held; 0: left out
  milliseconds fan_out_duration{1500};
  long disk_messages = 1'000'000;
};

struct bench {
  test::private_postgres& server;
  std::vector<std::unique_ptr<subject>>& subjects;
  report& results;
  const plan& how;
  /// A section begins no round after that; the first is always run.
  steady::time_point rounds_until = steady::time_point::max();

  bool begins(int round) const { return round == 0 || (round < how.rounds && steady::now() < rounds_until); }
  subject* find(const std::string& name) const;
  /// Those that are measured in that round.
  std::vector<subject*> of_round(int round) const;
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
void attempt(const bench& on, const std::string& what, const std::function<void()>& measure);

}  // namespace fleet::bench
