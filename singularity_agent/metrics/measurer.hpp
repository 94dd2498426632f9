// Measuring for whoever needs a figure now: never fails, and never asks the sampler twice at a time.
#pragma once
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/json/object.hpp>
#include <chrono>
#include <string>

#include "common/postgres/pool.hpp"
#include "common/telemetry/log.hpp"
#include "singularity_agent/execution/operation_lock.hpp"
#include "singularity_agent/metrics/sample_repository.hpp"
#include "singularity_agent/metrics/sampler.hpp"

namespace fleet::agent::metrics {

/// For the loop's thread. Everything passed by reference must outlive it.
class measurer {
 public:
  measurer(boost::asio::any_io_executor executor, sampler& from, postgres::pool& connections,
           const sample_repository& samples, telemetry::logger log, std::chrono::milliseconds interval);

  /// How long a measurement waits for the one before it.
  static constexpr std::chrono::milliseconds usual_wait{60'000};

  /// What the samplers say; empty where they fail (logged): a change is not failed for want of metrics.
  boost::asio::awaitable<boost::json::object> measure(std::chrono::milliseconds turn_wait = usual_wait);
  /// The same, with what agents of the type told within the last three intervals, where the database says it.
  boost::asio::awaitable<measurement> measure(std::string agent_type, std::chrono::milliseconds turn_wait = usual_wait);

 private:
  sampler& sampler_;
  postgres::pool& connections_;
  const sample_repository& samples_;
  telemetry::logger log_;
  std::chrono::milliseconds interval_;
  execution::operation_lock lock_;
};

/// `told` goes over `measured`: an agent knows its own figures better than the machine does.
measurement merged(boost::json::object measured, const measurement& told);

}  // namespace fleet::agent::metrics
