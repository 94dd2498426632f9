// Watching applied changes: a sample of each every interval, until its observation window is over.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <functional>

#include "common/async/stop.hpp"
#include "common/postgres/pool.hpp"
#include "common/telemetry/log.hpp"
#include "singularity_agent/metrics/measurer.hpp"
#include "singularity_agent/wake_ups.hpp"

namespace fleet::agent::metrics {

/// What is watched, and until when, is in the database: a restart goes on where it was. Everything passed by reference
/// must outlive it.
class watch {
 public:
  watch(postgres::pool& connections, measurer& measure, const sample_repository& samples, wake_ups& wake,
        telemetry::logger log, std::chrono::milliseconds interval);

  /// Until a soft stop; `turned` is called at each turn of its loop. Supervise it.
  boost::asio::awaitable<void> run(async::stop_token stop, std::function<void()> turned = {});
  /// Ends what is over and samples what is due; returns how many samples it took.
  boost::asio::awaitable<std::size_t> round();

 private:
  postgres::pool& connections_;
  measurer& measure_;
  const sample_repository& samples_;
  wake_ups& wake_;
  telemetry::logger log_;
  std::chrono::milliseconds interval_;
};

}  // namespace fleet::agent::metrics
