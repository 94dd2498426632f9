#include "common/daemon/until_available.hpp"

#include <string>
#include <utility>

#include "common/async/backoff.hpp"
#include "common/base/error.hpp"
#include "common/telemetry/episode.hpp"

namespace fleet::daemon {

boost::asio::awaitable<bool> until_available(async::stop_token stop, telemetry::logger log,
                                             std::function<boost::asio::awaitable<void>()> work) {
  telemetry::episode away(std::move(log), "start_waits", "start_goes_on", "what it needs is there again");
  async::backoff delays(async::backoff_policy{std::chrono::milliseconds(100), std::chrono::seconds(2), 2.0, 0.2});
  while (!stop.soft_requested()) {
    std::string why;
    try {
      co_await work();
      away.over();
      co_return true;
    } catch (const base::failure& failure) {
      const auto kind = failure.get().kind;
      if (kind != base::error_kind::unavailable && kind != base::error_kind::timeout) throw;
      why = failure.what();
    }
    away.occurred(why, "start");
    const auto delay = delays.next(async::random01());
    co_await stop.sleep_for(delay);
  }
  co_return false;
}

}  // namespace fleet::daemon
