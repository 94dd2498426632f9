// The worker that samples the database's figures at an interval: for /metrics, and for the built-in alerts.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <functional>
#include <string>

#include "centralcloud_daemon/alerts/alert_repository.hpp"
#include "common/async/stop.hpp"
#include "common/postgres/pool.hpp"
#include "common/quantumflow/inspect.hpp"
#include "common/telemetry/log.hpp"
#include "common/telemetry/metrics.hpp"

namespace fleet::central::alerts {

struct monitor_settings {
  std::chrono::milliseconds interval{5'000};
  std::chrono::milliseconds heartbeat_timeout{15'000};  ///< an instance not heard of for longer is not live
  bounds limits = {};
  std::chrono::milliseconds instance_forgotten{};  ///< silent for longer: gone, no alert any more
  std::chrono::milliseconds raise_after{10'000};   ///< for what may pass by itself
  std::chrono::milliseconds clear_after{30'000};
  std::chrono::milliseconds repeat_interval{3'600'000};  ///< 0: what stands is told once
};

/// For the loop's thread. Any number of coordinators may run one: what one finds is found by the others too, and the
/// rows of open alerts make it one alert.
class monitor {
 public:
  /// All must outlive the monitor; the settings may change while it runs. `told` is called when there may be notices.
  monitor(postgres::pool& pool, const monitor_settings& settings, telemetry::logger log, telemetry::metrics& metrics,
          std::function<void()> told);

  /// Until a soft stop; `turned` is called at each turn of its loop. Throws `base::failure` when the database fails:
  /// the supervisor starts it again.
  boost::asio::awaitable<void> run(async::stop_token stop, std::function<void()> turned = {});
  boost::asio::awaitable<void> pass(postgres::connection& on);
  /// As of the last pass.
  std::int64_t live_instances() const { return live_instances_; }

 private:
  boost::asio::awaitable<figures> sample(postgres::connection& on);
  boost::asio::awaitable<void> settle_all(postgres::connection& on, figures now);
  void show(const quantumflow::queue_stats& queue);
  void show(const fleet_figures& fleet);
  void show(const held_snapshot& oldest);
  void tell(alert_step step, const finding& what);

  postgres::pool& pool_;
  const monitor_settings& settings_;
  telemetry::logger log_;
  telemetry::metrics& metrics_;
  std::function<void()> told_;
  std::int64_t live_instances_ = 0;
  active_alerts shown_active_;  ///< every kind that ever stood: one that is over is shown as none
};

}  // namespace fleet::central::alerts
