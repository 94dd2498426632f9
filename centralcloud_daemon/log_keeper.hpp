// The worker that keeps the queues' log small: rotation, backlogs, expiry.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <functional>

#include "common/async/stop.hpp"
#include "common/postgres/pool.hpp"
#include "common/quantumflow/maintenance.hpp"
#include "common/telemetry/log.hpp"

namespace fleet::central {

/// For the loop's thread. Apart from the timers, so that a wait for a segment's lock holds up no deadline. Any number
/// of coordinators may run one.
class log_keeper {
 public:
  /// All must outlive the keeper; `how` may change while it runs.
  log_keeper(postgres::pool& pool, const quantumflow::maintenance_settings& how, const telemetry::logger& log)
      : pool_(pool), how_(how), log_(log) {}

  /// Until a soft stop. Throws `base::failure` when the database fails: the supervisor starts it again.
  /// `turned` is called each time its loop turns.
  boost::asio::awaitable<void> run(async::stop_token stop, std::function<void()> turned = {});

 private:
  boost::asio::awaitable<void> pass(postgres::connection& connection, async::stop_token stop);
  boost::asio::awaitable<void> expire(postgres::connection& connection, async::stop_token stop);
  void tell(const quantumflow::segment_state& segment);

  postgres::pool& pool_;
  const quantumflow::maintenance_settings& how_;
  const telemetry::logger& log_;
  std::chrono::steady_clock::time_point expired_at_{};
  std::chrono::steady_clock::time_point told_at_{};
};

}  // namespace fleet::central
