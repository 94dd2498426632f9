// Reporting samples to the Guardian: batches of what was kept, in order, published and marked in one transaction.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <functional>

#include "common/async/stop.hpp"
#include "common/postgres/pool.hpp"
#include "common/telemetry/log.hpp"
#include "singularity_agent/metrics/sample_repository.hpp"
#include "singularity_agent/producers.hpp"
#include "singularity_agent/wake_ups.hpp"

namespace fleet::agent::metrics {

/// Everything passed by reference must outlive it.
class reporter {
 public:
  reporter(postgres::pool& connections, producers& send, const sample_repository& samples, wake_ups& wake,
           telemetry::logger log);

  /// Until a soft stop; `turned` is called at each turn of its loop. Supervise it.
  boost::asio::awaitable<void> run(async::stop_token stop, std::function<void()> turned = {});
  /// Reports the oldest ones; returns how many it dealt with. A sample that can never be published is set aside.
  boost::asio::awaitable<std::size_t> report_batch();

 private:
  postgres::pool& connections_;
  producers& send_;
  const sample_repository& samples_;
  wake_ups& wake_;
  telemetry::logger log_;
};

}  // namespace fleet::agent::metrics
