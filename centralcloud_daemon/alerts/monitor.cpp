#include "centralcloud_daemon/alerts/monitor.hpp"

#include <utility>

#include "common/base/time.hpp"

namespace fleet::central::alerts {

using boost::asio::awaitable;

monitor::monitor(postgres::pool& pool, const monitor_settings& settings, telemetry::logger log,
                 telemetry::metrics& metrics, std::function<void()> told)
    : pool_(pool), settings_(settings), log_(std::move(log)), metrics_(metrics), told_(std::move(told)) {
  shown_active_[{"rollback_failed", "critical"}] = 0;  // the worst of them: that there is none is seen
}

awaitable<void> monitor::run(async::stop_token stop, std::function<void()> turned) {
  while (!stop.soft_requested()) {
    if (turned) turned();
    {
      auto lease = co_await pool_.acquire();
      co_await pass(*lease);
    }
    const auto interval = settings_.interval;
    co_await stop.sleep_for(interval);
  }
}

awaitable<void> monitor::pass(postgres::connection& on) {
  const auto began = std::chrono::steady_clock::now();
  auto now = co_await sample(on);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  metrics_.histogram_of("quantumflow_sample_seconds").observe(took.count());
  const std::chrono::duration<double> at = base::system_clock().now().time_since_epoch();
  metrics_.gauge_of("quantumflow_sampled_timestamp_seconds").set(at.count());
  co_await settle_all(on, std::move(now));
  co_await keep(on, settings_.repeat_interval);
  const auto active = co_await count_active(on);
  for (auto& [which, count] : shown_active_) count = 0;
  for (const auto& [which, count] : active) shown_active_[which] = count;
  for (const auto& [which, count] : shown_active_) {
    metrics_.gauge_of("centralcloud_alerts_active", {{"alert", which.first}, {"severity", which.second}})
        .set(static_cast<double>(count));
  }
  if (told_) told_();
}

awaitable<figures> monitor::sample(postgres::connection& on) {
  figures now;
  const auto queues = co_await quantumflow::list_queues(on);
  for (const auto& each : queues) {
    show(each);
    queue_figure queue;
    queue.name = each.queue_name;
    queue.oldest_age_seconds = each.oldest_age_seconds;
    queue.dead_letters = static_cast<double>(each.dlq);
    queue.readers = each.readers;
    now.queues.push_back(std::move(queue));
  }
  trouble_bounds from;
  from.silent = settings_.heartbeat_timeout;
  from.forgotten = settings_.instance_forgotten;
  const auto fleet = co_await read_fleet_figures(on, from);
  show(fleet);
  now.live_instances = live_instances_ = fleet.live_instances;
  now.silent_instances = fleet.silent_instances;
  now.held_seconds = fleet.held_seconds;
  now.held_by = fleet.held_by;
  now.snapshots = co_await oldest_snapshots(on);
  for (const auto& each : now.snapshots) show(each);
  from.silent = std::chrono::milliseconds(static_cast<std::int64_t>(settings_.limits.instance_silent_seconds * 1000));
  now.troubled = co_await troubled_instances(on, from);
  now.rollbacks = co_await pending_rollbacks(on);
  co_return now;
}

void monitor::show(const quantumflow::queue_stats& queue) {
  const telemetry::labels with{{"queue", queue.queue_name}};
  const auto number = [](std::int64_t count) { return static_cast<double>(count); };
  metrics_.gauge_of("quantumflow_queue_pending_messages", with).set(number(queue.pending));
  metrics_.gauge_of("quantumflow_queue_oldest_age_seconds", with).set(queue.oldest_age_seconds);
  metrics_.gauge_of("quantumflow_queue_retrying_messages", with).set(number(queue.retrying));
  metrics_.gauge_of("quantumflow_queue_dead_letters", with).set(number(queue.dlq));
  metrics_.gauge_of("quantumflow_queue_readers", with).set(number(queue.readers));
  metrics_.counter_of("quantumflow_queue_published_total", with).raise_to(number(queue.published_total));
  metrics_.counter_of("quantumflow_queue_consumed_total", with).raise_to(number(queue.consumed_total));
  metrics_.counter_of("quantumflow_queue_purged_total", with).raise_to(number(queue.purged_total));
}

void monitor::show(const fleet_figures& fleet) {
  const auto number = [](std::int64_t count) { return static_cast<double>(count); };
  metrics_.gauge_of("centralcloud_instances", {{"state", "live"}}).set(number(fleet.live_instances));
  metrics_.gauge_of("centralcloud_instances", {{"state", "silent"}}).set(number(fleet.silent_instances));
  metrics_.gauge_of("centralcloud_votes_open").set(number(fleet.open_votes));
  metrics_.gauge_of("centralcloud_changes_watched").set(number(fleet.watched_changes));
  metrics_.gauge_of("quantumflow_log_bytes").set(number(fleet.log_bytes));
  metrics_.gauge_of("quantumflow_log_held_seconds").set(fleet.held_seconds);
}

void monitor::show(const held_snapshot& oldest) {
  const telemetry::labels with{{"holder", oldest.kind}};
  metrics_.gauge_of("quantumflow_oldest_transaction_seconds", with).set(oldest.seconds);
  metrics_.gauge_of("quantumflow_oldest_xmin_age_transactions", with).set(static_cast<double>(oldest.transactions));
}

awaitable<void> monitor::settle_all(postgres::connection& on, figures now) {
  const auto open = co_await open_alerts(on);
  const auto found = judge(settings_.limits, now, open);
  for (const auto& each : found) {
    auto after = settings_.clear_after;
    if (each.is == verdict::breached) after = each.at_once ? std::chrono::milliseconds(0) : settings_.raise_after;
    const auto step = co_await settle(on, each, after);
    tell(step, each);
  }
}

void monitor::tell(alert_step step, const finding& what) {
  if (step == alert_step::raised) {
    metrics_.counter_of("centralcloud_alerts_raised_total", {{"alert", what.name}}).increment();
    log_.warning("alert_raised", what.text,
                 {{"alert", what.name},
                  {"subject", what.subject},
                  {"severity", what.severity},
                  {"value", what.value},
                  {"bound", what.bound}});
  } else if (step == alert_step::cleared) {
    log_.info("alert_cleared", "it is over", {{"alert", what.name}, {"subject", what.subject}});
  }
}

}  // namespace fleet::central::alerts
