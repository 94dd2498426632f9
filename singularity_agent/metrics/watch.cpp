#include "singularity_agent/metrics/watch.hpp"

#include <algorithm>

#include "singularity_agent/database.hpp"

namespace fleet::agent::metrics {
namespace {

/// Changes sampled in one round; the rest is due in the next, which follows at once.
constexpr int max_at_once = 1000;
constexpr std::chrono::milliseconds look_again{5'000};

}  // namespace

watch::watch(postgres::pool& connections, measurer& measure, const sample_repository& samples, wake_ups& wake,
             telemetry::logger log, std::chrono::milliseconds interval)
    : connections_(connections),
      measure_(measure),
      samples_(samples),
      wake_(wake),
      log_(std::move(log)),
      interval_(interval) {}

boost::asio::awaitable<void> watch::run(async::stop_token stop, std::function<void()> turned) {
  while (!stop.soft_requested()) {
    if (turned) turned();
    co_await round();
    std::optional<std::chrono::milliseconds> next;
    {
      auto connection = co_await connections_.acquire(connection_wait);
      next = co_await samples_.next_watch(*connection);
    }
    const auto wait = std::min(next.value_or(look_again), look_again);
    if (wait.count() > 0) co_await wake_.watch.wait_for(wait, stop);
  }
}

boost::asio::awaitable<std::size_t> watch::round() {
  std::vector<due_watch> due;
  {
    auto connection = co_await connections_.acquire(connection_wait);
    while (true) {
      const auto ended = co_await samples_.end_watch(*connection);
      if (!ended) break;
      log_.info("observation_over", "the observation window is over, the change stays", {{"proposal_id", *ended}});
    }
    due = co_await samples_.due_watches(*connection, max_at_once);
  }
  if (due.empty()) co_return 0;
  // One measurement serves all that are due: they describe the same machine at the same moment.
  const auto measured = co_await measure_.measure();
  {
    // Each change in a transaction of its own: a replay of the spool and a batch of triggers hold several, in an order
    // of their own, and whoever held one here while he waited for another would deadlock with them.
    auto connection = co_await connections_.acquire(connection_wait);
    for (const auto& one : due) {
      auto metrics = merged(measured, one.told);
      co_await samples_.record_watch(*connection, one, std::move(metrics), interval_);
    }
  }
  wake_.samples.notify();
  co_return due.size();
}

}  // namespace fleet::agent::metrics
