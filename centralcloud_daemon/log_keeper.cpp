#include "centralcloud_daemon/log_keeper.hpp"

#include <algorithm>
#include <string>

namespace fleet::central {
namespace {

using boost::asio::awaitable;

constexpr std::chrono::milliseconds longest_pause{2'000};
constexpr std::chrono::minutes expiry_interval{1};
constexpr std::chrono::minutes told_again_after{1};
/// Messages moved to backlogs in one transaction, and transactions in one pass.
constexpr std::int64_t piece = 10'000;
constexpr int max_pieces = 100;
/// A segment held for so many rotations is worth a warning: moving laggards away should have freed it.
constexpr int patience_rotations = 3;

}  // namespace

awaitable<void> log_keeper::run(async::stop_token stop, std::function<void()> turned) {
  while (!stop.soft_requested()) {
    if (turned) turned();
    {
      auto lease = co_await pool_.acquire();
      co_await pass(*lease, stop);
    }
    const std::chrono::milliseconds interval = how_.rotation_interval;
    co_await stop.sleep_for(std::min(longest_pause, interval));
  }
}

awaitable<void> log_keeper::pass(postgres::connection& connection, async::stop_token stop) {
  co_await quantumflow::count_messages(connection);
  co_await quantumflow::tick_xid_clock(connection);
  co_await quantumflow::trim_positions(connection);
  for (int pieces = 0; pieces < max_pieces && !stop.soft_requested(); ++pieces) {
    const auto moved = co_await quantumflow::move_laggards(connection, how_, piece);
    if (moved > 0) log_.info("backlog", "what lagging readers have not read was moved", {{"messages", moved}});
    if (moved < piece) break;
  }
  const auto segments = co_await quantumflow::rotate(connection, how_);
  for (const auto& each : segments) tell(each);
  if (std::chrono::steady_clock::now() - expired_at_ >= expiry_interval) co_await expire(connection, stop);
}

/// A few pieces a pass, so that the log is looked after in between; the others come with the next.
awaitable<void> log_keeper::expire(postgres::connection& connection, async::stop_token stop) {
  constexpr int pieces_a_pass = 4;
  for (int pieces = 0; pieces < pieces_a_pass && !stop.soft_requested(); ++pieces) {
    const auto expired = co_await quantumflow::expire_instance(connection, how_);
    if (!expired) {
      expired_at_ = std::chrono::steady_clock::now();
      co_return;
    }
    log_.warning("instance_expired", "what waited for a silent instance is in the dead-letter queue",
                 {{"instance", expired->instance}, {"dead_letters", expired->dead_letters}});
  }
}

void log_keeper::tell(const quantumflow::segment_state& segment) {
  if (segment.held_for < how_.rotation_interval * (how_.lag_rotations + patience_rotations)) return;
  const auto now = std::chrono::steady_clock::now();
  if (now - told_at_ < told_again_after) return;
  told_at_ = now;
  log_.warning("segment_held", segment.held_by,
               {{"segment", segment.segment}, {"bytes", segment.bytes}, {"held_seconds", segment.held_for.count()}});
}

}  // namespace fleet::central
