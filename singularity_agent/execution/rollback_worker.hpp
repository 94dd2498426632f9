// Takes changes back: what a rollback_trigger asked for, step by step, found again after a crash. Each step of the
// strategy is written down before and after it is run.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <functional>
#include <string>

#include "common/async/stop.hpp"
#include "common/postgres/pool.hpp"
#include "common/telemetry/events.hpp"
#include "common/telemetry/log.hpp"
#include "singularity_agent/execution/execution_flow.hpp"
#include "singularity_agent/execution/execution_repository.hpp"
#include "singularity_agent/execution/executor.hpp"
#include "singularity_agent/execution/rollback_steps.hpp"
#include "singularity_agent/metrics/measurer.hpp"
#include "singularity_agent/wake_ups.hpp"

namespace fleet::agent::execution {

struct rollback_options {
  step_commands commands;
  std::string working_directory;
  std::chrono::milliseconds command_timeout{60'000};
  retry_rule retries{};
  std::chrono::milliseconds measure_wait{5'000};  ///< for another measurement, before the end is told without metrics
};

/// For the loop's thread; everything passed by reference must outlive it.
class rollback_worker {
 public:
  rollback_worker(postgres::pool& connections, executor& by, execution_flow& flow, metrics::measurer& measure,
                  const execution_repository& repository, wake_ups& wake, telemetry::event_counter& events,
                  telemetry::logger log, rollback_options options);

  /// Until a soft stop; supervise it: `turned` is called before each part of a rollback.
  boost::asio::awaitable<void> run(async::stop_token stop, std::function<void()> turned);
  /// One rollback of it; false: none is due.
  boost::asio::awaitable<bool> roll_back_next(async::stop_token stop);

 private:
  struct work;
  class journal;
  enum class reversal { done, nothing_applied, failed, postponed };
  boost::asio::awaitable<reversal> reverse(work& on);
  boost::asio::awaitable<void> run_steps(work& on);
  boost::asio::awaitable<void> postpone(work& on);
  boost::asio::awaitable<void> finish(work& on);

  postgres::pool& connections_;
  executor& executor_;
  execution_flow& flow_;
  metrics::measurer& measure_;
  const execution_repository& repository_;
  wake_ups& wake_;
  telemetry::event_counter& events_;
  telemetry::logger log_;
  rollback_options options_;
  std::function<void()> turned_ = [] {};
};

}  // namespace fleet::agent::execution
