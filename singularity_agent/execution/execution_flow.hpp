// From an approving decision to a change that is applied: a journaled state machine that a crash cannot repeat.
//
//   consensus_reached → executing: check_profile → metrics_before → apply → verify → metrics_after → applied
//                                        ↓                  ↓         ↓        ↓
//                                      failed ←──────────────────── undo ←─────┘     (a rollback asked for meanwhile:
//                                                                                     the rollback worker goes on)
// An apply that ends in doubt (no time, killed) goes through undo, too; one that was refused is failed at once.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "common/async/event.hpp"
#include "common/async/stop.hpp"
#include "common/postgres/pool.hpp"
#include "common/telemetry/log.hpp"
#include "singularity_agent/execution/execution_repository.hpp"
#include "singularity_agent/execution/executor.hpp"
#include "singularity_agent/metrics/measurer.hpp"
#include "singularity_agent/wake_ups.hpp"

namespace fleet::agent::execution {

struct flow_options {
  std::int64_t observation_window_seconds = 600;  ///< where the profile does not say
  std::chrono::milliseconds sample_interval{10'000};
  retry_rule undo_retries{};  ///< a change that may be in place and cannot be taken back needs people
  /// An execution ended: applied, failed or rollback_failed, and how long it took.
  std::function<void(std::string_view outcome, std::chrono::nanoseconds took)> ended = {};
};

/// One execution at a time. Each step is written down before and after it is done; one that was begun and not finished
/// is done again, which every step allows. For the loop's thread; everything passed by reference must outlive it.
class execution_flow {
 public:
  execution_flow(postgres::pool& connections, executor& by, metrics::measurer& measure,
                 const metrics::sample_repository& samples, const execution_repository& repository, wake_ups& wake,
                 telemetry::logger log, flow_options options);

  /// Executes what is approved, in the order of the decisions, until a soft stop. Supervise it: `turned` is called
  /// before each step.
  boost::asio::awaitable<void> run(async::stop_token stop, std::function<void()> turned);
  /// One of it: false where none waits.
  boost::asio::awaitable<bool> execute_next(async::stop_token stop = {});

  /// Waits until this proposal is in nobody's hand here, and calls `turned` every few seconds. False: a soft stop.
  boost::asio::awaitable<bool> wait_released(base::proposal_id proposal, async::stop_token stop,
                                             std::function<void()> turned);

 private:
  struct work;
  enum class go_on { yes, no };
  class hold;

  boost::asio::awaitable<void> execute(work& on);
  boost::asio::awaitable<go_on> check_profile(work& on);
  boost::asio::awaitable<go_on> measure_before(work& on);
  boost::asio::awaitable<go_on> apply(work& on);
  boost::asio::awaitable<void> not_applied(work& on, const boost::json::object& error);
  boost::asio::awaitable<go_on> verify(work& on);
  boost::asio::awaitable<go_on> measure_after(work& on);
  boost::asio::awaitable<void> finish(work& on);
  boost::asio::awaitable<void> undo(work& on, std::string why);
  boost::asio::awaitable<void> end_undo(work& on, std::string why, base::result<reverted_change> undone);
  boost::asio::awaitable<void> fail(work& on, std::string why, bool undone);
  boost::asio::awaitable<go_on> begin(work& on, journal_step step);
  boost::asio::awaitable<void> done(work& on, journal_step step, boost::json::object detail, bool good = true);

  postgres::pool& connections_;
  executor& executor_;
  metrics::measurer& measure_;
  const metrics::sample_repository& samples_;
  const execution_repository& repository_;
  wake_ups& wake_;
  telemetry::logger log_;
  flow_options options_;
  std::function<void()> turned_ = [] {};
  base::proposal_id in_hand_;
  async::event released_;
};

}  // namespace fleet::agent::execution
