#include "centralcloud_daemon/application.hpp"

#include <boost/asio/ip/host_name.hpp>
#include <exception>
#include <optional>
#include <string>
#include <utility>

#include "centralcloud_daemon/api/live_feed.hpp"
#include "centralcloud_daemon/api/routes.hpp"
#include "centralcloud_daemon/consumers.hpp"
#include "centralcloud_daemon/dashboard/pages.hpp"
#include "centralcloud_daemon/log_keeper.hpp"
#include "centralcloud_daemon/producers.hpp"
#include "centralcloud_daemon/settings.hpp"
#include "centralcloud_daemon/timers.hpp"
#include "common/http/access.hpp"
#include "common/http/health_routes.hpp"
#include "common/http/server.hpp"
#include "common/messages/queues.hpp"
#include "common/quantumflow/schema_version.hpp"
#include "common/quantumflow/waker.hpp"

namespace fleet::central {
namespace {

using boost::asio::awaitable;
using std::chrono::milliseconds;

constexpr milliseconds probe_interval{5'000};
constexpr milliseconds probe_limit{3'000};

/// What only one coordinator at a time can be.
std::string slot_of(const settings& current) {
  boost::system::error_code ignored;
  return boost::asio::ip::host_name(ignored) + " " + current.http_listen;
}

std::size_t workers_of(const config::values& all) {
  std::size_t workers = 0;
  for (const auto& queue : messages::all_queues())
    if (queue.read_by == messages::queue_reader::coordinator)
      workers += config::queue_from(all, std::string(queue.name)).workers;
  return workers;
}

}  // namespace

struct application::parts {
  daemon::loop& loop;
  config::values configured;
  settings current;
  telemetry::logger log;
  daemon::reload_source reload;

  telemetry::metrics metrics{};
  telemetry::health_state health{};
  telemetry::event_counter events{metrics, log, telemetry::daemon_prefix::centralcloud};
  postgres::pool pool{loop.executor(), database_settings(current.core),
                      current.core.pool_size + workers_of(configured)};
  quantumflow::waker waker{loop.executor(), database_settings(current.core)};
  quantumflow::crash_guard crashes{pool, std::string(consumer_group), slot_of(current)};

  producers out{events, base::system_clock()};
  consensus::engine votes{out, current.consensus, log};
  guardian::watch changes{out, current.guardian, log, metrics};
  patterns::aggregator pattern_reports{out, current.patterns, log};
  consumers in{votes, changes, pattern_reports, events};
  timers timed{pool, votes, changes, current.guardian};
  log_keeper keeper{pool, current.maintenance, log};
  http::event_hub listeners{loop.executor()};
  api::live_feed feed{pool, current.consensus, listeners};
  std::vector<std::unique_ptr<quantumflow::consumer>> workers{};
  std::unique_ptr<http::server> server{};
  daemon::supervisor supervisor{
      loop.executor(), loop.stop_token(), log, metrics, health, daemon::restart_or_stop(loop, "centralcloud")};

  bool listen();
  awaitable<bool> wait_for_schema();
  awaitable<void> start_workers();
  awaitable<void> probe(async::stop_token stop);
  awaitable<void> drain();
  void apply_reload();
  void take_over(const config::values& fresh, settings effective);
};

application::application(daemon::service_start start) {
  auto effective = settings_from(start.configured).value();
  parts_.reset(new parts{start.on, std::move(start.configured), std::move(effective), std::move(start.log),
                         std::move(start.reload)});
  for (const auto* condition : {"database", "schema", "listen", "workers"}) parts_->health.require(condition);
}

application::~application() = default;

awaitable<void> application::run() {
  auto& all = *parts_;
  if (!all.listen()) co_return;
  all.loop.on_reload([&all] { all.apply_reload(); });
  const bool fits = co_await all.wait_for_schema();
  if (fits) {
    co_await all.start_workers();
    all.log.info("started", "all workers run");
    all.loop.ready("coordinating");
    const auto stop = all.loop.stop_token();
    for (bool waiting = true; waiting;) waiting = co_await stop.sleep_for(std::chrono::hours(1));
  }
  co_await all.drain();
}

bool application::parts::listen() {
  http::server_options options;
  options.listen = current.http_listen;
  options.metrics_prefix = "centralcloud";
  auto token = http::read_token_file(current.token_file);
  if (!token) {
    log.error("config", token.error().message);
    loop.request_stop("configuration", daemon::exit_usage);
    return false;
  }
  options.bearer_token = std::move(*token);
  http::router routes;
  http::add_health_routes(routes, health, metrics);
  api::add_routes(routes, {pool, changes, current.consensus, current.guardian, listeners});
  dashboard::add_pages(routes);
  server = std::make_unique<http::server>(loop.executor(), std::move(options), std::move(routes), log, metrics);
  const auto started = server->start();
  if (!started) {
    const bool refused = started.error().kind == base::error_kind::invalid_input;
    log.error("listen", started.error().message, {{"address", current.http_listen}});
    loop.request_stop("cannot listen", refused ? daemon::exit_usage : daemon::exit_refused);
    return false;
  }
  health.set("listen", true);
  if (server->port() != 0) log.info("listening", "HTTP", {{"address", current.http_listen}, {"port", server->port()}});
  return true;
}

awaitable<bool> application::parts::wait_for_schema() {
  std::function<void(const std::string&)> away = [this](const std::string& why) {
    health.set("database", false, why);
    log.warning("database_away", "waiting for the database", {{"error", why}});
  };
  const auto fits = co_await quantumflow::wait_for_schema(pool, loop.stop_token(), away);
  if (!fits && fits.error().kind == base::error_kind::cancelled) co_return false;
  health.set("database", true);
  health.set("schema", fits.has_value(), fits ? std::string() : fits.error().message);
  if (!fits) {
    log.error("schema", fits.error().message);
    loop.request_stop("schema", daemon::exit_usage);
  }
  co_return fits.has_value();
}

awaitable<void> application::parts::start_workers() {
  supervisor.supervise("waker", [this](async::stop_token stop) { return waker.run(std::move(stop)); });
  const bool crashed = co_await crashes.begin();
  if (crashed)
    log.warning("crashed_before", "the last run did not end as it should: messages are handled singly at first");
  for (const auto& each : in.subscriptions()) {
    co_await quantumflow::subscribe(pool, each.queue, std::string(consumer_group));
    const auto how = config::queue_from(configured, each.queue);
    quantumflow::consumer_options options;
    options.queue = each.queue;
    options.group = consumer_group;
    options.crashes = &crashes;
    options.max_retries = how.max_retries;
    options.retry_delay = how.retry_delay;
    const bool opens_votes = each.queue == messages::queues::proposals_for_consensus;
    for (std::size_t n = 0; n < how.workers; ++n) {
      std::function<void()> woken;
      if (opens_votes) woken = [this] { timed.wake(); };
      auto after = in.after_commit(each, std::move(woken));
      auto* worker = workers
                         .emplace_back(std::make_unique<quantumflow::consumer>(pool, waker, options, each.handler,
                                                                               std::move(after)))
                         .get();
      supervisor.supervise(each.queue + "/" + std::to_string(n),
                           [worker](async::stop_token stop) { return worker->run(std::move(stop)); });
    }
  }
  supervisor.supervise("timers", [this](async::stop_token stop) { return timed.run(std::move(stop)); });
  supervisor.supervise("log_keeper", [this](async::stop_token stop) { return keeper.run(std::move(stop)); });
  supervisor.supervise("live_feed", [this](async::stop_token stop) { return feed.run(std::move(stop)); });
  supervisor.supervise("probe", [this](async::stop_token stop) { return probe(std::move(stop)); });
  health.set("workers", true);
}

awaitable<void> application::parts::probe(async::stop_token stop) {
  bool probing = co_await stop.sleep_for(probe_interval);
  while (probing) {
    std::string away;
    try {
      auto lease = co_await pool.acquire(probe_limit);
      postgres::params none;
      co_await lease->query("select 1", std::move(none), probe_limit);
    } catch (const base::failure& failure) {
      away = failure.what();
    }
    health.set("database", away.empty(), away);
    pool.idle_trim(std::chrono::seconds(60));
    probing = co_await stop.sleep_for(probe_interval);
  }
}

awaitable<void> application::parts::drain() {
  health.set("workers", false, "stopping");
  if (server) co_await server->drain(current.core.stop_grace);
  const bool ended = co_await supervisor.wait(current.core.stop_grace);
  if (!ended) log.warning("drain", "some workers did not end in time", {{"running", supervisor.running()}});
  if (ended) co_await quantumflow::end_in_order(crashes);
}

void application::parts::apply_reload() {
  const auto fresh = reload();
  if (!fresh) {
    log.error("reload", "the new configuration is not taken", {{"error", fresh.error()}});
    return;
  }
  auto effective = settings_from(config::apply_reloadable(configured, *fresh));
  if (!effective) {
    log.error("reload", "the new configuration is not taken", {{"error", effective.error()}});
    return;
  }
  take_over(*fresh, std::move(*effective));
}

void application::parts::take_over(const config::values& fresh, settings effective) {
  daemon::log_reload(log, configured, fresh);
  configured = config::apply_reloadable(configured, fresh);
  current.consensus = effective.consensus;
  current.guardian = std::move(effective.guardian);
  current.patterns = effective.patterns;
  current.maintenance = effective.maintenance;
  if (const auto level = telemetry::parse_log_level(effective.core.log_level)) log.set_level(*level);
  timed.wake();
}

}  // namespace fleet::central
