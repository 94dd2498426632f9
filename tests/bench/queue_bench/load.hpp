// Load: threads that call as fast as they can or at a rate, and what became of the messages.
#pragma once
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

namespace fleet::bench {

using steady = std::chrono::steady_clock;
using std::chrono::milliseconds;

struct tally {
  double messages = 0;
  double seconds = 0;
  double per_second() const { return seconds > 0 ? messages / seconds : 0; }
};

/// One call that publishes the messages from number `first` on.
using publish_call = std::function<void(long first)>;
/// What one load thread does before the clock starts: connect, prepare.
using open_publisher = std::function<publish_call()>;

struct publish_load {
  int batch = 1;
  int connections = 1;
  milliseconds duration{1000};
};

/// Each connection in a thread of its own, calls one after the other. Throws what a thread threw.
tally publish_closed_loop(const publish_load& load, const open_publisher& open);

/// Drains: `take` answers how many messages it got and acknowledged; the threads go on until `backlog` are gone. Throws
/// when that takes more than a minute.
tally drain_closed_loop(int workers, long backlog, const std::function<std::function<long()>()>& open);

struct flow_load {
  int producers = 8;
  int batch = 1;
  double per_second = 0;  ///< messages; arrivals are random (Poisson); 0: as fast as the producers can
  milliseconds duration{5000};
  long messages = 0;  ///< no more than that many; 0: until the time is over
  // Of queues that know such things:
  int lanes = 1;
  int workers = 1;
  bool together = false;  ///< the producers share the library's own publisher
};

struct flow_result {
  tally published;
  tally consumed;                    ///< within the duration, or until all messages of a limited load were
  std::vector<double> latencies_ms;  ///< publish call → handler
  std::vector<double> each_second;   ///< messages consumed in the first second, the second, …
};

/// Knows when the publish call of each message began. Producers call from many threads, the handler from one. Messages
/// with numbers below 0 are the warm-up and not counted.
class flow_clock {
 public:
  explicit flow_clock(const flow_load& load);
  long begin_call(int batch);
  void handled(long number);
  void start();
  long begin_warm_up(int batch);
  /// Until the warm-up has been handled, 10 s at most; throws then.
  void wait_warm() const;
  long published() const { return next_; }
  long handled_total() const { return handled_; }
  flow_result result() const;

 private:
  static constexpr std::size_t remembered = 1 << 22;
  static constexpr long remembered_warm = 1'000'000;
  milliseconds duration_;
  long limit_;
  steady::time_point start_;
  steady::time_point last_handled_;
  std::atomic<long> next_{0};
  std::atomic<long> handled_{0};
  std::atomic<long> warm_next_{-remembered_warm};
  std::atomic<long> warm_handled_{0};
  std::vector<std::atomic<std::int64_t>> began_;  ///< ns since the clock's epoch, of message n at n % remembered
  std::vector<double> latencies_ms_;
  std::vector<double> each_second_;
};

/// Handles what arrives until it is stopped or destroyed.
class running_consumer {
 public:
  running_consumer() = default;
  virtual ~running_consumer() = default;
  /// Throws what ended it before.
  virtual void stop() = 0;
  running_consumer(const running_consumer&) = delete;
  running_consumer& operator=(const running_consumer&) = delete;
};
using start_consumer = std::function<std::unique_ptr<running_consumer>(flow_clock&)>;

/// Producers and a consumer side by side. What is still on its way at the end is waited for, 5 s at most, so that slow
/// messages are not left out of the latencies.
flow_result run_flow(const flow_load& load, const open_publisher& open, const start_consumer& consume);
/// The same with producers of another kind: `produce` warms up, starts the clock, and returns when the load is over.
flow_result run_flow_of(const flow_load& load, const std::function<void(flow_clock&)>& produce,
                        const start_consumer& consume);

/// The value below which `share` of them lie; 0 where there are none.
double quantile(std::vector<double> values, double share);
inline double median(std::vector<double> values) {
  return quantile(std::move(values), 0.5);
}

}  // namespace fleet::bench
