// Supervision: a worker that throws is logged, counted and started again, with backoff and a bound.
#pragma once
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "common/async/stop.hpp"
#include "common/telemetry/health.hpp"
#include "common/telemetry/log.hpp"
#include "common/telemetry/metrics.hpp"

namespace fleet::daemon {

struct supervision {
  std::chrono::milliseconds min_backoff{100};  ///< before the first restart; doubles with each failure in a row
  std::chrono::milliseconds max_backoff{5'000};
  std::size_t max_restarts = 10;             ///< more than these within `window` is fatal
  std::chrono::milliseconds window{60'000};  ///< also: a run as long as this forgets earlier failures
  std::string metrics_prefix = "daemon";     ///< of `<prefix>_worker_restarts_total{worker}`
  /// Whether what the workers need (the database) is there. Where it is given, a worker that ended because it was
  /// `unavailable` is trusted again after `settling` in which this is true.
  std::function<bool()> available = {};
  std::chrono::milliseconds settling{500};
  /// Called once, at the first fatal worker; the worker goes on being restarted with `max_backoff`.
  std::function<void(const std::string& worker)> on_fatal = {};
};

/// For the loop's thread. Everything passed by reference must outlive the supervisor and its workers.
class supervisor {
 public:
  using worker = std::function<boost::asio::awaitable<void>(async::stop_token)>;

  supervisor(boost::asio::any_io_executor executor, async::stop_token stop, telemetry::logger log,
             telemetry::metrics& metrics, telemetry::health_state& health, supervision rules = {});

  /// Starts `run` now. It is expected to return after a soft stop; returning earlier ends it without a restart. A throw
  /// makes the readiness condition "worker NAME" missing until the next run has lasted `max_backoff`, or less (see
  /// `available`). Failures of kind `unavailable` and `timeout` (the database is away) are restarted without end, are
  /// never fatal, and are logged as one trouble of all workers (`workers_wait`, `workers_go_on`); the first of them
  /// that is trusted again ends the waits of the others.
  void supervise(std::string name, worker run);

  /// For a worker whose loop turns again and again, whatever it finds: it calls what this returns at each turn. One
  /// that has not turned for `limit` is stuck. Call it before `supervise`, with the same name.
  std::function<void()> watch_turns(std::string name, std::chrono::milliseconds limit);
  /// Both in one: supervises a worker that is given what it has to call at each turn.
  using turning_worker = std::function<boost::asio::awaitable<void>(async::stop_token, std::function<void()> turned)>;
  void supervise(std::string name, std::chrono::milliseconds turn_limit, turning_worker run);
  template <class Worker>
  void supervise(std::string name, std::chrono::milliseconds turn_limit, Worker& of,
                 boost::asio::awaitable<void> (Worker::*run)(async::stop_token, std::function<void()> turned)) {
    supervise(std::move(name), turn_limit, [&of, run](async::stop_token stop, std::function<void()> turned) {
      return (of.*run)(std::move(stop), std::move(turned));
    });
  }
  /// Which worker is stuck, or was lost, in a sentence; nothing where all move.
  std::optional<std::string> stuck() const;

  /// Waits until every worker has ended, at most `limit`. False: some still run.
  boost::asio::awaitable<bool> wait(std::chrono::milliseconds limit);
  std::size_t running() const;
  /// A worker failed more often than the rules allow.
  bool fatal() const;

 private:
  struct state;
  std::shared_ptr<state> state_;
};

}  // namespace fleet::daemon
