#include "centralcloud_daemon/application.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/ip/host_name.hpp>
#include <boost/json/array.hpp>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "centralcloud_daemon/alerts/monitor.hpp"
#include "centralcloud_daemon/alerts/notifier.hpp"
#include "centralcloud_daemon/api/live_feed.hpp"
#include "centralcloud_daemon/api/routes.hpp"
#include "centralcloud_daemon/audit/audit_repository.hpp"
#include "centralcloud_daemon/audit/sealer.hpp"
#include "centralcloud_daemon/consumers.hpp"
#include "centralcloud_daemon/dashboard/pages.hpp"
#include "centralcloud_daemon/log_keeper.hpp"
#include "centralcloud_daemon/producers.hpp"
#include "centralcloud_daemon/settings.hpp"
#include "centralcloud_daemon/timers.hpp"
#include "common/daemon/database_note.hpp"
#include "common/daemon/until_available.hpp"
#include "common/daemon/worker_group.hpp"
#include "common/http/access.hpp"
#include "common/http/health_routes.hpp"
#include "common/http/server.hpp"
#include "common/messages/queues.hpp"
#include "common/quantumflow/schema_version.hpp"
#include "common/quantumflow/waker.hpp"
#include "common/telemetry/episode.hpp"
#include "common/telemetry/queue_meter.hpp"
#include "common/telemetry/vitals.hpp"

namespace fleet::central {
namespace {

using boost::asio::awaitable;
using std::chrono::milliseconds;

constexpr milliseconds probe_interval{5'000};
constexpr milliseconds look_again{100};  // while the database is away
constexpr milliseconds probe_limit{3'000};

/// Within that time the loop of every worker turns, even where each statement of a batch is slow.
constexpr std::chrono::minutes turn_limit{5};

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
  daemon::database_note note_database{loop, health, "coordinating"};
  telemetry::event_counter events{metrics, log, telemetry::daemon_prefix::centralcloud};
  postgres::pool pool{loop.executor(), database_settings(current.core),
                      current.core.pool_size + workers_of(configured)};
  telemetry::vitals vitals{metrics, telemetry::daemon_prefix::centralcloud, FLEET_VERSION};
  quantumflow::waker waker{loop.executor(), listen_settings(current.core), [this](bool told) { tell_waking(told); }};
  quantumflow::crash_guard crashes{pool, std::string(consumer_group), slot_of(current)};

  producers out{events, base::system_clock()};
  consensus::engine votes{out, current.consensus, log};
  guardian::watch changes{out, current.guardian, log, metrics};
  patterns::aggregator pattern_reports{out, current.patterns, log};
  consumers in{votes, changes, pattern_reports, events};
  timers timed{pool, votes, changes, current.guardian, log, metrics};
  log_keeper keeper{pool, current.maintenance, log};
  alerts::notifier commands{pool, alerts::command_channel(current.channels), log, metrics};
  alerts::notifier webhooks{pool, alerts::webhook_channel(current.channels), log, metrics};
  alerts::monitor monitor{pool, current.monitor, log, metrics, [this] { wake_notifiers(); }};
  audit::sealer sealer{pool, log};
  http::event_hub listeners{loop.executor()};
  api::live_feed feed{pool, current.monitor, listeners};
  std::unique_ptr<http::server> server{};
  std::function<bool()> there = [this] { return pool.available(); };
  daemon::supervisor supervisor{
      loop.executor(), loop.stop_token(), log, metrics, health, daemon::restart_or_stop(loop, "centralcloud", there)};
  std::map<std::string, daemon::worker_group> workers{};  ///< by queue

  bool listen();
  awaitable<bool> wait_for_schema();
  awaitable<void> subscribe();
  void start_workers();
  void tell_waking(bool told);
  daemon::supervisor::worker make_worker(const consumers::subscription& of, const std::string& name);
  void size_workers();
  awaitable<void> probe(async::stop_token stop, std::function<void()> turned);
  awaitable<void> drain();
  void apply_reload();
  void take_over(const config::values& fresh, settings effective);
  void refresh_metrics();
  void wake_notifiers();
  void note_reload(const config::values& fresh);
};

application::application(daemon::service_start start) {
  auto effective = settings_from(start.configured).value();
  parts_.reset(new parts{start.on, std::move(start.configured), std::move(effective), std::move(start.log),
                         std::move(start.reload)});
  parts_->metrics.begin(telemetry::catalogue::source::coordinator);
  for (const auto* condition : {"database", "schema", "listen", "workers"}) parts_->health.require(condition);
}

application::~application() = default;

awaitable<void> application::run() {
  auto& all = *parts_;
  if (!all.listen()) co_return;
  all.loop.on_reload([&all] { all.apply_reload(); });
  // Up, as far as the service manager is concerned: a database that is away for longer than its patience is no reason
  // to be started again. Whether work goes on is what /readyz says.
  all.loop.ready("waiting for the database");
  const bool fits = co_await all.wait_for_schema();
  bool subscribed = false;
  if (fits) {
    const std::function<awaitable<void>()> subscribe = [&all] { return all.subscribe(); };
    subscribed = co_await daemon::until_available(all.loop.stop_token(), all.log, subscribe);
  }
  if (subscribed) {
    all.start_workers();
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
  http::add_health_routes(routes, health, metrics, [this] { refresh_metrics(); });
  api::add_routes(routes, {pool, changes, current.consensus, current.guardian, current.monitor, listeners});
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
  telemetry::episode outage(log, "database_away", "database_there", "the database answers");
  std::function<void(const std::string&)> away = [this, &outage](const std::string& why) {
    health.set("database", false, why);
    outage.occurred(why, "start");
  };
  const auto fits = co_await quantumflow::wait_for_schema(pool, loop.stop_token(), away);
  if (!fits && fits.error().kind == base::error_kind::cancelled) co_return false;
  outage.over();
  health.set("database", true);
  health.set("schema", fits.has_value(), fits ? std::string() : fits.error().message);
  if (!fits) {
    log.error("schema", fits.error().message);
    loop.request_stop("schema", daemon::exit_usage);
  }
  co_return fits.has_value();
}

awaitable<void> application::parts::subscribe() {
  for (const auto& each : in.subscriptions())
    co_await quantumflow::subscribe(pool, each.queue, std::string(consumer_group));
  const bool crashed = co_await crashes.begin();
  if (crashed)
    log.warning("crashed_before", "the last run did not end as it should: messages are handled singly at first");
}

daemon::supervisor::worker application::parts::make_worker(const consumers::subscription& of, const std::string& name) {
  const auto how = config::queue_from(configured, of.queue);
  quantumflow::consumer_options options;
  options.queue = of.queue;
  options.group = consumer_group;
  options.crashes = &crashes;
  options.listeners = [this] { return monitor.live_instances(); };
  options.max_retries = how.max_retries;
  options.retry_delay = how.retry_delay;
  options.turned = supervisor.watch_turns(name, turn_limit);
  const telemetry::queue_meter meter(metrics, of.queue);
  options.on_batch = [meter](std::chrono::nanoseconds took) { meter.processed(took); };
  std::function<void()> woken;
  if (of.queue == messages::queues::proposals_for_consensus) woken = [this] { timed.wake(); };
  auto after = in.after_commit(of, meter, std::move(woken));
  const auto made =
      std::make_shared<quantumflow::consumer>(pool, waker, std::move(options), of.handler, std::move(after));
  return [made](async::stop_token stop) { return made->run(std::move(stop)); };
}

/// As many workers of each queue as are configured now, and a connection for each.
void application::parts::size_workers() {
  pool.set_max_size(current.core.pool_size + workers_of(configured));
  for (auto& [queue, group] : workers) group.resize(config::queue_from(configured, queue).workers);
}

void application::parts::start_workers() {
  if (!current.core.poll_only) {
    vitals.show_listen(false);
    supervisor.supervise("waker", [this](async::stop_token stop) { return waker.run(std::move(stop)); });
    supervisor.supervise("waker_proof",
                         [this](async::stop_token stop) { return waker.keep_proving(pool, std::move(stop)); });
  }
  supervisor.supervise("poller", turn_limit, [this](async::stop_token stop, std::function<void()> turned) {
    return waker.poll(pool, std::move(stop), std::move(turned));
  });
  for (const auto& each : in.subscriptions()) {
    const auto make = [this, each](const std::string& name) { return make_worker(each, name); };
    workers.try_emplace(each.queue, loop.executor(), supervisor, loop.stop_token(), each.queue, make);
  }
  size_workers();
  supervisor.supervise("timers", turn_limit, timed, &timers::run);
  supervisor.supervise("log_keeper", turn_limit, keeper, &log_keeper::run);
  supervisor.supervise("sealer", turn_limit, sealer, &audit::sealer::run);
  supervisor.supervise("monitor", turn_limit, monitor, &alerts::monitor::run);
  supervisor.supervise("alerts_command", turn_limit, commands, &alerts::notifier::run);
  supervisor.supervise("alerts_webhook", turn_limit, webhooks, &alerts::notifier::run);
  supervisor.supervise("live_feed", turn_limit, feed, &api::live_feed::run);
  supervisor.supervise("probe", turn_limit, *this, &parts::probe);
  loop.watch([this] { return supervisor.stuck(); });
  health.set("workers", true);
}

void application::parts::tell_waking(bool told) {
  vitals.show_listen(told);
  if (told) {
    log.info("listening_to_queues", "the database tells of new messages");
  } else if (!loop.stop_token().soft_requested()) {
    log.warning("polling_queues", "the database does not tell of new messages", {{"error", waker.last_error()}});
  }
}

awaitable<void> application::parts::probe(async::stop_token stop, std::function<void()> turned) {
  bool probing = co_await stop.sleep_for(probe_interval);
  while (probing) {
    turned();
    std::string away;
    try {
      auto lease = co_await pool.acquire(probe_limit);
      postgres::params none;
      co_await lease->query("select 1", std::move(none), probe_limit);
    } catch (const base::failure& failure) {
      away = failure.what();
    }
    note_database(away);
    pool.idle_trim(std::chrono::seconds(60));
    const auto pause = away.empty() ? probe_interval : look_again;
    probing = co_await stop.sleep_for(pause);
  }
}

awaitable<void> application::parts::drain() {
  health.set("workers", false, "stopping");
  if (server) co_await server->drain(current.core.stop_grace);
  const bool ended = co_await supervisor.wait(current.core.stop_grace);
  if (!ended) log.warning("drain", "some workers did not end in time", {{"running", supervisor.running()}});
  // Without a database nothing can be told to it.
  if (ended && pool.available()) co_await quantumflow::end_in_order(crashes);
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
  note_reload(fresh);
  configured = config::apply_reloadable(configured, fresh);
  current.consensus = effective.consensus;
  current.guardian = std::move(effective.guardian);
  current.patterns = effective.patterns;
  current.maintenance = effective.maintenance;
  current.monitor = effective.monitor;
  current.channels = std::move(effective.channels);
  wake_notifiers();
  if (const auto level = telemetry::parse_log_level(effective.core.log_level)) log.set_level(*level);
  if (!loop.stop_token().soft_requested()) size_workers();
  timed.wake();
}

void application::parts::refresh_metrics() {
  vitals.refresh(health);
  const auto now = pool.stats();
  vitals.show_pool({"main", now.open, now.idle, now.waiting, now.connect_failures_total});
}

void application::parts::wake_notifiers() {
  commands.wake();
  webhooks.wake();
}

/// Rules that decide are worth an entry in the audit log. Where the database is away, the line in our log has to do.
void application::parts::note_reload(const config::values& fresh) {
  boost::json::array changed;
  for (const auto& one : config::diff(configured, fresh)) {
    if (one.reloadable) changed.push_back({{"key", one.key}, {"before", one.before}, {"after", one.after}});
  }
  if (changed.empty()) return;
  const auto note = [](parts& of, boost::json::array what) -> awaitable<void> {
    auto lease = co_await of.pool.acquire();
    co_await audit::note_reload(*lease, slot_of(of.current), std::move(what));
  };
  const auto done = [this](std::exception_ptr failed) {
    if (failed) log.warning("reload", "is not in the audit log: the database did not take it");
  };
  boost::asio::co_spawn(loop.executor(), note(*this, std::move(changed)), done);
}

}  // namespace fleet::central
