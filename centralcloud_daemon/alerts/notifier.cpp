#include "centralcloud_daemon/alerts/notifier.hpp"

#include <fmt/format.h>

#include <optional>
#include <utility>

#include "centralcloud_daemon/alerts/alert_repository.hpp"
#include "centralcloud_daemon/alerts/webhook.hpp"
#include "common/async/backoff.hpp"
#include "common/async/process.hpp"
#include "common/base/json.hpp"
#include "common/base/text.hpp"

namespace fleet::central::alerts {
namespace {

using boost::asio::awaitable;
using std::chrono::milliseconds;

constexpr std::chrono::seconds look_again{2};
/// What an attempt may take beyond its time-out, until another coordinator may take the notice.
constexpr std::chrono::seconds lease_margin{20};
constexpr std::int64_t max_attempts = 10;

async::backoff_policy pauses() {
  async::backoff_policy policy;
  policy.initial = std::chrono::seconds(1);
  policy.max = std::chrono::minutes(5);
  return policy;
}

awaitable<base::result<void>> run_command(const channel_settings& settings, boost::json::object notice,
                                          async::stop_token stop) {
  async::process_spec spec;
  spec.shell_command = settings.command;
  spec.stdin_text = base::write_json(notice) + "\n";
  spec.timeout = settings.timeout;
  spec.max_output_bytes = 64U * 1024;
  spec.stop = stop;
  const auto ended = co_await async::run_process(std::move(spec));
  if (ended.ok()) co_return base::result<void>();
  co_return base::make_error(base::error_kind::unavailable, "alerts.command: " + ended.failure());
}

}  // namespace

channel command_channel(const channel_settings& settings) {
  channel way;
  way.name = "command";
  way.deliver = [&settings](boost::json::object notice, async::stop_token stop) {
    return run_command(settings, std::move(notice), std::move(stop));
  };
  way.configured = [&settings] { return !settings.command.empty(); };
  way.timeout = [&settings] { return settings.timeout; };
  return way;
}

channel webhook_channel(const channel_settings& settings) {
  channel way;
  way.name = "webhook";
  way.deliver = [&settings](boost::json::object notice, async::stop_token) {
    return post_webhook(settings.webhook_url, base::write_json(notice), settings.timeout);
  };
  way.configured = [&settings] { return !settings.webhook_url.empty(); };
  way.timeout = [&settings] { return settings.timeout; };
  return way;
}

notifier::notifier(postgres::pool& pool, channel way, telemetry::logger log, telemetry::metrics& metrics)
    : pool_(pool), way_(std::move(way)), log_(std::move(log)), metrics_(metrics) {}

awaitable<void> notifier::run(async::stop_token stop, std::function<void()> turned) {
  while (!stop.soft_requested()) {
    if (turned) turned();
    bool worked = false;
    if (way_.configured()) worked = co_await deliver_next(stop);
    if (!worked) co_await woken_.wait_for(look_again, stop);
  }
}

awaitable<bool> notifier::deliver_next(async::stop_token stop) {
  std::optional<boost::json::object> notice;
  {
    // Given back before the delivery: a slow receiver holds no connection and no snapshot.
    auto lease = co_await pool_.acquire();
    const milliseconds until = way_.timeout() + lease_margin;
    notice = co_await take_notice(*lease, way_.name, until);
  }
  if (!notice) co_return false;
  const auto attempt = notice->at("attempt").to_number<std::int64_t>();
  delivery how;
  how.notice = notice->at("notice_id").as_string();
  how.channel = way_.name;
  const auto alert = std::string(notice->at("name").as_string());
  base::result<void> outcome;
  try {
    outcome = co_await way_.deliver(std::move(*notice), stop);
  } catch (const base::failure& failure) {
    outcome = failure.get();
  }
  how.delivered = outcome.has_value();
  if (!outcome) {
    how.error = base::tail_of(outcome.error().message, 2000);  // the database takes no malformed text
    if (attempt < max_attempts) {
      const auto pause = async::backoff_delay(pauses(), static_cast<unsigned>(attempt), async::random01());
      how.retry_after = std::chrono::ceil<milliseconds>(pause);
    }
    log_.warning("alert_not_delivered", how.error,
                 {{"alert", alert}, {"channel", way_.name}, {"attempt", attempt}, {"given_up", !how.retry_after}});
  }
  const auto* counted = how.delivered ? "delivered" : how.retry_after ? "retried" : "given_up";
  metrics_.counter_of("centralcloud_alert_notifications_total", {{"channel", way_.name}, {"outcome", counted}})
      .increment();
  auto lease = co_await pool_.acquire();
  co_await settle_notice(*lease, std::move(how));
  co_return true;
}

}  // namespace fleet::central::alerts
