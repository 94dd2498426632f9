#include "singularity_agent/metrics/measurer.hpp"

#include "singularity_agent/database.hpp"

namespace fleet::agent::metrics {
measurer::measurer(boost::asio::any_io_executor executor, sampler& from, postgres::pool& connections,
                   const sample_repository& samples, telemetry::logger log, std::chrono::milliseconds interval)
    : sampler_(from),
      connections_(connections),
      samples_(samples),
      log_(std::move(log)),
      interval_(interval),
      lock_(std::move(executor)) {}

boost::asio::awaitable<boost::json::object> measurer::measure(std::chrono::milliseconds turn_wait) {
  boost::json::object measured;
  const auto turn = co_await lock_.acquire(execution::lane::usual, turn_wait);
  if (!turn) {
    log_.warning("sample_failed", turn.error().message);
    co_return measured;
  }
  const auto sampled = co_await sampler_.sample();
  if (sampled) {
    measured = messages::encode_metrics(*sampled);
  } else {
    log_.warning("sample_failed", sampled.error().message);
  }
  co_return measured;
}

boost::asio::awaitable<measurement> measurer::measure(std::string agent_type, std::chrono::milliseconds turn_wait) {
  auto measured = co_await measure(turn_wait);
  measurement told;
  try {
    auto connection = co_await connections_.acquire(connection_wait);
    told = co_await samples_.told(*connection, std::move(agent_type), interval_ * 3);
  } catch (const base::failure& failed) {
    // Whoever measures has done something that must be told, and would do it again.
    log_.warning("sample_failed", failed.what());
  }
  co_return merged(std::move(measured), told);
}

measurement merged(boost::json::object measured, const measurement& told) {
  measurement all;
  all.metrics = std::move(measured);
  for (const auto& [name, value] : told.metrics) all.metrics[name] = value;
  all.told_traceparent = told.told_traceparent;
  return all;
}

}  // namespace fleet::agent::metrics
