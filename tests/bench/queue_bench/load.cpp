#include "tests/bench/queue_bench/load.hpp"

#include <algorithm>
#include <exception>
#include <latch>
#include <mutex>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>

namespace fleet::bench {

namespace {

// A session's plans are made anew for its first five calls.
constexpr int warm_up_calls = 6;
constexpr auto drain_limit = std::chrono::seconds(60);

double seconds_between(steady::time_point from, steady::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

/// Threads that prepare, start together, and hand on the first exception of any of them.
class crew {
 public:
  explicit crew(int size) : ready_(size), size_(size) {}

  /// `prepare(k)` answers the work of thread k, which gets the common start; `at_start` comes just before it.
  template <class Prepare>
  steady::time_point run(
      Prepare prepare, const std::function<void()>& at_start = [] {}) {
    std::vector<std::jthread> threads;
    for (int k = 0; k < size_; ++k) threads.emplace_back([this, k, &prepare] { member(k, prepare); });
    ready_.wait();
    note_failure(at_start);
    const auto start = started_ = steady::now();
    go_.count_down();
    threads.clear();
    if (failure_) std::rethrow_exception(failure_);
    return start;
  }
  bool failed() const { return failed_; }

 private:
  /// Runs it; an exception ends the whole crew's work.
  template <class Work>
  void note_failure(const Work& work) {
    try {
      work();
    } catch (...) {
      const std::lock_guard lock(mutex_);
      failed_ = true;
      if (!failure_) failure_ = std::current_exception();
    }
  }

  template <class Prepare>
  void member(int k, Prepare& prepare) {
    std::function<void(steady::time_point)> work;
    note_failure([&] { work = prepare(k); });
    ready_.count_down();
    go_.wait();
    if (!failed_) note_failure([&] { work(started_); });
  }

  std::latch ready_;
  std::latch go_{1};
  steady::time_point started_;
  std::mutex mutex_;
  std::exception_ptr failure_;
  std::atomic<bool> failed_{false};
  int size_;
};

}  // namespace

tally publish_closed_loop(const publish_load& load, const open_publisher& open) {
  std::atomic<long> next{0};
  std::atomic<long> calls{0};
  crew threads(load.connections);
  const auto start = threads.run([&](int) {
    auto call = open();
    for (int i = 0; i < warm_up_calls; ++i) call(next.fetch_add(load.batch));
    return [&, call = std::move(call)](steady::time_point from) {
      while (steady::now() < from + load.duration && !threads.failed()) {
        call(next.fetch_add(load.batch));
        ++calls;
      }
    };
  });
  return {static_cast<double>(calls * load.batch), seconds_between(start, steady::now())};
}

tally drain_closed_loop(int workers, long backlog, const std::function<std::function<long()>()>& open) {
  std::atomic<long> left{backlog};
  std::atomic<steady::rep> last{0};
  crew threads(workers);
  const auto start = threads.run([&](int) {
    auto take = open();
    return [&, take = std::move(take)](steady::time_point from) {
      while (left > 0 && !threads.failed()) {
        if (steady::now() > from + drain_limit)
          throw std::runtime_error("drain: " + std::to_string(left) + " messages left after a minute");
        const long taken = take();
        if (taken > 0) last = steady::now().time_since_epoch().count();
        // Every lane is in somebody's hand.
        if (taken == 0) std::this_thread::sleep_for(milliseconds(1));
        left -= taken;
      }
    };
  });
  if (left != 0) throw std::runtime_error("drain: took " + std::to_string(-left) + " messages too many");
  return {static_cast<double>(backlog), seconds_between(start, steady::time_point(steady::duration(last.load())))};
}

flow_clock::flow_clock(const flow_load& load) : duration_(load.duration), limit_(load.messages), began_(remembered) {
  latencies_ms_.reserve(1 << 20);
}

void flow_clock::start() {
  start_ = steady::now();
}

long flow_clock::begin_call(int batch) {
  const long first = next_.fetch_add(batch);
  const auto now = steady::now().time_since_epoch().count();
  for (long n = first; n < first + batch; ++n) began_[static_cast<std::size_t>(n) % remembered] = now;
  return first;
}

long flow_clock::begin_warm_up(int batch) {
  return warm_next_.fetch_add(batch);
}

void flow_clock::wait_warm() const {
  const auto limit = steady::now() + std::chrono::seconds(10);
  while (warm_handled_ < warm_next_ + remembered_warm) {
    if (steady::now() > limit)
      throw std::runtime_error("the consumer handled " + std::to_string(warm_handled_) + " of " +
                               std::to_string(warm_next_ + remembered_warm) + " messages of the warm-up in 10 s");
    std::this_thread::sleep_for(milliseconds(1));
  }
}

void flow_clock::handled(long number) {
  const auto now = steady::now();
  if (number < 0) {
    ++warm_handled_;
    return;
  }
  ++handled_;
  last_handled_ = now;
  const auto began = steady::duration(began_[static_cast<std::size_t>(number) % remembered].load());
  latencies_ms_.push_back(std::chrono::duration<double, std::milli>(now.time_since_epoch() - began).count());
  if (now >= start_ + duration_) return;
  const auto second = static_cast<std::size_t>(seconds_between(start_, now));
  if (each_second_.size() <= second) each_second_.resize(second + 1);
  each_second_[second] += 1;
}

flow_result flow_clock::result() const {
  flow_result made;
  auto seconds = std::chrono::duration<double>(duration_).count();
  if (limit_ > 0 && handled_ >= limit_) seconds = std::min(seconds, seconds_between(start_, last_handled_));
  for (const double count : each_second_) made.consumed.messages += count;
  made.consumed.seconds = seconds;
  made.published = {static_cast<double>(published()), seconds};
  made.latencies_ms = latencies_ms_;
  made.each_second = each_second_;
  // Where nothing came any more, zero came.
  made.each_second.resize(static_cast<std::size_t>(seconds));
  return made;
}

namespace {

void produce(const flow_load& load, flow_clock& clock, const crew& threads, const publish_call& call, int k,
             steady::time_point from) {
  std::mt19937 random(static_cast<std::uint32_t>(k + 1));
  const double calls_per_second = std::max(load.per_second / load.producers / load.batch, 1e-3);
  std::exponential_distribution<double> gap(calls_per_second);
  auto due = from;
  while (!threads.failed()) {
    if (load.per_second > 0) {
      due += std::chrono::duration_cast<steady::duration>(std::chrono::duration<double>(gap(random)));
      std::this_thread::sleep_until(std::min(due, from + load.duration));
    }
    if (steady::now() >= from + load.duration) break;
    if (load.messages > 0 && clock.published() >= load.messages) break;
    call(clock.begin_call(load.batch));
  }
}

}  // namespace

flow_result run_flow(const flow_load& load, const open_publisher& open, const start_consumer& consume) {
  const auto produce_all = [&](flow_clock& clock) {
    crew threads(load.producers);
    const auto prepare = [&](int k) {
      const auto call = open();
      for (int i = 0; i < warm_up_calls; ++i) call(clock.begin_warm_up(load.batch));
      return [&, k, call](steady::time_point from) { produce(load, clock, threads, call, k, from); };
    };
    threads.run(prepare, [&] {
      clock.wait_warm();
      clock.start();
    });
  };
  return run_flow_of(load, produce_all, consume);
}

flow_result run_flow_of(const flow_load& load, const std::function<void(flow_clock&)>& produce,
                        const start_consumer& consume) {
  flow_clock clock(load);
  auto consumer = consume(clock);
  produce(clock);
  const auto limit = steady::now() + std::chrono::seconds(5);
  while (clock.handled_total() < clock.published() && steady::now() < limit)
    std::this_thread::sleep_for(milliseconds(5));
  consumer->stop();
  return clock.result();
}

double quantile(std::vector<double> values, double share) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  // Between the two middle ones for an even count; the nearest rank otherwise is near enough.
  const double at = share * static_cast<double>(values.size() - 1);
  const auto below = static_cast<std::size_t>(at);
  const auto above = std::min(below + 1, values.size() - 1);
  return values[below] + (values[above] - values[below]) * (at - static_cast<double>(below));
}

}  // namespace fleet::bench
