#include "centralcloud_daemon/audit/sealer.hpp"

#include <chrono>

#include "centralcloud_daemon/audit/audit_repository.hpp"

namespace fleet::central::audit {
namespace {

constexpr std::chrono::seconds seal_interval{60};
/// Looked at more often than sealed: of several coordinators, one may be gone when its turn comes.
constexpr std::chrono::seconds look_interval{10};

}  // namespace

boost::asio::awaitable<void> sealer::run(async::stop_token stop, std::function<void()> turned) {
  bool alive = true;
  while (alive) {
    if (turned) turned();
    {
      auto lease = co_await pool_.acquire();
      const auto made = co_await seal_log(*lease, seal_interval);
      if (made)
        log_.info("audit_sealed", "note the head to prove later what was in the log",
                  {{"head", made->head}, {"entries", made->entries}});
    }
    alive = co_await stop.sleep_for(look_interval);
  }
}

}  // namespace fleet::central::audit
