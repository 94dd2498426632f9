// What every daemon exposes about its own process, read when it is asked for.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

#include "common/telemetry/events.hpp"
#include "common/telemetry/health.hpp"
#include "common/telemetry/metrics.hpp"

namespace fleet::telemetry {

struct pool_figures {
  std::string name;  ///< label `pool`
  std::size_t open = 0;
  std::size_t idle = 0;
  std::size_t waiting = 0;
  std::uint64_t connect_failures_total = 0;
};

class vitals {
 public:
  vitals(metrics& registry, daemon_prefix prefix, const std::string& version);

  /// Before a scrape: some reads of /proc, no more.
  void refresh(const health_state& health);
  void show_pool(const pool_figures& now);
  /// LISTEN works, or was lost. Not called where the daemon is told to poll: then there is no such gauge, and no alert.
  void show_listen(bool up);

 private:
  void read_process();

  metrics& registry_;
  gauge ready_;
  counter cpu_;
  gauge resident_, virtual_, open_fds_, max_fds_, start_time_;
  counter reconnects_;
  bool listening_ = false;
};

}  // namespace fleet::telemetry
