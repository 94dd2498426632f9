#include "singularity_agent/application.hpp"

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <utility>

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
#include "singularity_agent/api/routes.hpp"
#include "singularity_agent/api/step_feed.hpp"
#include "singularity_agent/consumers.hpp"
#include "singularity_agent/database.hpp"
#include "singularity_agent/instance_claim.hpp"
#include "singularity_agent/instance_repository.hpp"
#include "singularity_agent/intake/intake.hpp"
#include "singularity_agent/metrics/reporter.hpp"
#include "singularity_agent/metrics/watch.hpp"
#include "singularity_agent/settings.hpp"
#include "singularity_agent/tools.hpp"

namespace fleet::agent {
namespace {

using async::stop_token;
using boost::asio::awaitable;

/// The rollback worker and its consumers never wait for a connection behind other work.
std::size_t rollback_pool_size(const config::values& all) {
  return 1 + config::queue_from(all, std::string(messages::queues::rollback_triggers)).workers;
}
/// Within that time the loop of every worker turns, even where each statement of a batch is slow.
constexpr std::chrono::minutes turn_limit{5};
constexpr std::chrono::seconds unused_connections{60};
constexpr std::chrono::seconds spool_flush_limit{5};  // of a stop
constexpr std::chrono::milliseconds look_again{100};  // while the database is away

std::size_t workers_of(const config::values& all) {
  std::size_t workers = 0;
  for (const auto& queue : messages::all_queues())
    if (queue.read_by == messages::queue_reader::agent)
      workers += config::queue_from(all, std::string(queue.name)).workers;
  return workers;
}

proposals::change_form form_of(const agent_settings& settings) {
  return settings.executor.mode == executor_mode::git ? proposals::change_form::git : proposals::change_form::any;
}

}  // namespace

struct application::parts {
  daemon::loop& loop;
  config::values configured;
  agent_settings current;
  telemetry::logger log;
  daemon::reload_source reload;
  std::unique_ptr<metrics::sampler> sampler;

  telemetry::metrics registry{};
  telemetry::health_state health{};
  daemon::database_note note_database{loop, health, "serving"};
  telemetry::event_counter events{registry, log, telemetry::daemon_prefix::singularity};
  postgres::pool pool{loop.executor(), database_of(current), current.core.pool_size + workers_of(configured)};
  quantumflow::crash_guard crashes{pool, current.instance.str(), current.instance.str()};
  postgres::pool rollback_pool{loop.executor(), database_of(current), rollback_pool_size(configured)};
  telemetry::vitals vitals{registry, telemetry::daemon_prefix::singularity, FLEET_VERSION};
  quantumflow::waker waker{loop.executor(), listen_of(current), [this](bool told) { tell_waking(told); }};
  instance_claim claim{{pool, waker, current.instance, place_of(current), lease_of(current), health, log}};
  wake_ups wake{};

  producers out{current.instance, events};
  execution::execution_repository executions{current.instance};
  metrics::sample_repository samples{current.instance};
  patterns::pattern_repository known_patterns{current.instance};
  proposals::proposal_queue queue{pool, out, wake, log, current.proposals, make_preview(current)};
  voting::voter votes{pool, out, wake, log, current.voter};
  std::unique_ptr<execution::executor> executor = make_executor(loop.executor(), current);
  metrics::measurer measure{loop.executor(), *sampler, pool, samples, log, current.metrics.interval};
  execution::execution_flow flow{pool,       *executor, measure, samples,
                                 executions, wake,      log,     flow_options_of(current, registry)};
  execution::rollback_worker rollbacks{
      rollback_pool, *executor, flow, measure, executions, wake, events, log, rollback_options_of(current)};
  metrics::watch watch{pool, measure, samples, wake, log, current.metrics.interval};
  metrics::reporter reporter{pool, out, samples, wake, log};
  intake::applier applier{{queue, votes, out, samples, wake, form_of(current)}};
  std::unique_ptr<intake::intake> taking{};
  consumers in{{queue.repository(), executions, known_patterns, votes, events, wake, log}};
  http::event_hub hub{loop.executor()};
  api::step_feed feed{pool, queue.repository(), hub, wake};
  std::unique_ptr<http::server> server{};
  std::function<bool()> there = [this] { return pool.available(); };
  daemon::supervisor supervisor{
      loop.executor(), loop.stop_token(), log, registry, health, daemon::restart_or_stop(loop, "singularity", there)};
  std::map<std::string, daemon::worker_group> consumer_groups{};  ///< by queue

  bool open_spool();
  bool listen();
  awaitable<bool> wait_for_schema();
  awaitable<void> recover_repository();
  awaitable<void> subscribe();
  void start_consumers();
  daemon::supervisor::worker make_consumer(const consumers::subscription& of, const std::string& name);
  void size_consumers();
  void start_workers();
  void tell_waking(bool told);
  awaitable<void> heartbeat(stop_token stop, std::function<void()> turned);
  awaitable<void> drain();
  void refuse(const std::string& what, const base::error& why);
  void apply_reload();
  void refresh_metrics();
};

application::application(daemon::service_start start) {
  auto effective = value_or_throw(settings_from(start.configured));
  auto sampler = value_or_throw(make_sampler(effective, start.log));
  parts_.reset(new parts{start.on, std::move(start.configured), std::move(effective), std::move(start.log),
                         std::move(start.reload), std::move(sampler)});
  parts_->registry.begin(telemetry::catalogue::source::agent);
  if (!parts_->current.core.poll_only) parts_->vitals.show_listen(false);
  for (const auto* each : {"database", "schema", "listen", "workers", "repository"}) parts_->health.require(each);
}

application::~application() = default;

awaitable<void> application::run() {
  auto& all = *parts_;
  if (!all.open_spool() || !all.listen()) co_return;
  all.loop.on_reload([&all] { all.apply_reload(); });
  // Up, as far as the service manager is concerned: it takes things in. A database that is away for longer than its
  // patience is no reason to be started again. Whether work goes on is what /readyz says.
  all.loop.ready("waiting for the database");
  const bool fits = co_await all.wait_for_schema();
  bool claimed = false;
  if (fits) {
    if (!all.current.core.poll_only)
      all.supervisor.supervise("waker", [&all](stop_token stop) { return all.waker.run(std::move(stop)); });
    claimed = co_await all.claim.acquire(all.loop.stop_token());
  }
  bool subscribed = false;
  if (claimed) {
    co_await all.recover_repository();
    const std::function<awaitable<void>()> subscribe = [&all] { return all.subscribe(); };
    subscribed = co_await daemon::until_available(all.loop.stop_token(), all.log, subscribe);
  }
  if (subscribed) {
    all.start_consumers();
    all.start_workers();
    all.log.info("started", "all workers run", {{"instance", all.current.instance}});
    all.loop.ready("serving");
    for (bool on = true; on;) on = co_await all.loop.stop_token().sleep_for(std::chrono::hours(1));
  }
  co_await all.drain();
}

void application::parts::refuse(const std::string& what, const base::error& why) {
  log.error(what, why.message);
  const bool configuration = why.kind == base::error_kind::invalid_input;
  loop.request_stop(what, configuration ? daemon::exit_usage : daemon::exit_refused);
}

/// Opened before the API: what that accepts must have a place to go.
bool application::parts::open_spool() {
  std::unique_ptr<quantumflow::spool> spool;
  const auto path = spool_path_of(current);
  if (!path.empty()) {
    quantumflow::spool_options options;
    options.path = path;
    options.max_bytes = current.spool.max_bytes;
    auto opened = quantumflow::spool::open(std::move(options));
    if (!opened) {
      refuse("spool", opened.error());
      return false;
    }
    spool = std::move(*opened);
    const auto held = spool->stats();
    log.info("spool_opened", "items wait in it", {{"path", path}, {"items", held.entries}});
    if (held.unreadable_total > 0)
      log.error("spool_damaged", "items could not be read; the damaged file is kept",
                {{"ever", held.unreadable_total}});
  } else {
    log.warning("no_spool", "spool.path is empty: nothing is accepted while the database is away");
  }
  intake::intake::parts with{pool, applier, current.instance, log, registry};
  taking = std::make_unique<intake::intake>(std::move(with), std::move(spool));
  return true;
}

bool application::parts::listen() {
  auto token = http::read_token_file(current.api.token_file);
  if (!token) {
    refuse("config", token.error());
    return false;
  }
  http::server_options options;
  options.unix_socket = current.api.socket;
  options.listen = current.api.listen;
  options.bearer_token = std::move(*token);
  options.metrics_prefix = "singularity";
  http::router routes;
  http::add_health_routes(routes, health, registry, [this] { refresh_metrics(); });
  api::add_routes(routes, {pool, *taking, queue.repository(), votes.repository(), executions, known_patterns, feed});
  server = std::make_unique<http::server>(loop.executor(), std::move(options), std::move(routes), log, registry);
  const auto started = server->start();
  if (!started) {
    refuse("listen", started.error());
    return false;
  }
  health.set("listen", true);
  log.info("listening", "the local API", {{"socket", current.api.socket}, {"port", server->port()}});
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

awaitable<void> application::parts::recover_repository() {
  const auto mended = co_await executor->recover();
  if (!mended) {
    // Every later call mends first, too; what cannot be mended fails the execution with its reason.
    health.set("repository", false, mended.error().message);
    log.error("repository", mended.error().message);
    co_return;
  }
  for (const auto& sentence : *mended) log.warning("repository_mended", sentence);
  health.set("repository", true);
}

/// From now on broadcasts are kept for this instance.
awaitable<void> application::parts::subscribe() {
  for (const auto& each : in.subscriptions())
    co_await quantumflow::subscribe(pool, std::string(each.queue), current.instance.str());
  const bool crashed = co_await crashes.begin();
  if (crashed)
    log.warning("crashed_before", "the last run did not end as it should: messages are handled singly at first");
}

daemon::supervisor::worker application::parts::make_consumer(const consumers::subscription& of,
                                                             const std::string& name) {
  const std::string name_of_queue(of.queue);
  const auto how = config::queue_from(configured, name_of_queue);
  quantumflow::consumer_options options;
  options.queue = name_of_queue;
  options.group = current.instance.str();
  options.crashes = &crashes;
  options.max_retries = how.max_retries;
  options.retry_delay = how.retry_delay;
  options.turned = supervisor.watch_turns(name, turn_limit);
  const telemetry::queue_meter meter(registry, name_of_queue);
  options.on_batch = [meter](std::chrono::nanoseconds took) { meter.processed(took); };
  auto& connections = name_of_queue == messages::queues::rollback_triggers ? rollback_pool : pool;
  auto after = [this, name_of_queue, meter, then = of.after](const quantumflow::message& message,
                                                             const quantumflow::outcome& outcome) {
    meter.settled(quantumflow::fate_of(outcome), message.enqueued_at, base::system_clock().now());
    const bool rejected = outcome.what == quantumflow::outcome::kind::rejected;
    if (outcome.what != quantumflow::outcome::kind::done)
      events.not_handled({name_of_queue, message.id, rejected, outcome.error, outcome.trace_id});
    if (then) then(message, outcome);
  };
  const auto made =
      std::make_shared<quantumflow::consumer>(connections, waker, std::move(options), of.handler, std::move(after));
  return [made](stop_token stop) { return made->run(std::move(stop)); };
}

/// As many consumers of each queue as are configured now, and a connection for each.
void application::parts::size_consumers() {
  pool.set_max_size(current.core.pool_size + workers_of(configured));
  rollback_pool.set_max_size(rollback_pool_size(configured));
  for (auto& [of_queue, group] : consumer_groups) group.resize(config::queue_from(configured, of_queue).workers);
}

void application::parts::start_consumers() {
  if (!current.core.poll_only)
    supervisor.supervise("waker_proof", [this](stop_token stop) { return waker.keep_proving(pool, std::move(stop)); });
  supervisor.supervise("poller", turn_limit, [this](stop_token stop, std::function<void()> turned) {
    return waker.poll(pool, std::move(stop), std::move(turned));
  });
  for (const auto& each : in.subscriptions()) {
    const std::string of_queue(each.queue);
    const auto make = [this, each](const std::string& name) { return make_consumer(each, name); };
    consumer_groups.try_emplace(of_queue, loop.executor(), supervisor, loop.stop_token(), of_queue, make);
  }
  size_consumers();
  loop.watch([this] { return supervisor.stuck(); });
}

void application::parts::tell_waking(bool told) {
  vitals.show_listen(told);
  claim.session_changed(told);
  if (told) {
    log.info("listening_to_queues", "the database tells of new messages");
  } else if (!loop.stop_token().soft_requested()) {
    log.warning("polling_queues", "the database does not tell of new messages", {{"error", waker.last_error()}});
  }
}

void application::parts::start_workers() {
  supervisor.supervise("claim", [this](stop_token stop) { return claim.follow_session(std::move(stop)); });
  supervisor.supervise("execution", longest_step(current), flow, &execution::execution_flow::run);
  supervisor.supervise("rollback", longest_step(current), rollbacks, &execution::rollback_worker::run);
  supervisor.supervise("heartbeat", turn_limit, *this, &parts::heartbeat);
  supervisor.supervise("dispatcher", turn_limit, queue, &proposals::proposal_queue::dispatch);
  supervisor.supervise("watch", turn_limit, watch, &metrics::watch::run);
  supervisor.supervise("spool", turn_limit, *taking, &intake::intake::replay);
  supervisor.supervise("reporter", turn_limit, reporter, &metrics::reporter::run);
  supervisor.supervise("events", turn_limit, feed, &api::step_feed::run);
  if (votes.mode() == voter_mode::command)
    supervisor.supervise("voter", longest_step(current), votes, &voting::voter::run_command);
  health.set("workers", true);
}

/// Also the probe of the database: what /readyz says of it is at most one interval old.
awaitable<void> application::parts::heartbeat(stop_token stop, std::function<void()> turned) {
  for (bool alive = true; alive;) {
    turned();
    std::string away;
    std::optional<std::string> taken_by;
    try {
      auto connection = co_await pool.acquire(connection_wait);
      taken_by = co_await claim.renew(*connection);
      if (!taken_by) co_await send_heartbeat(*connection, current.instance, current.roles);
    } catch (const base::failure& failure) {
      away = failure.what();
    }
    note_database(away);
    if (taken_by) {
      // It was away for longer than its lease: the other one is at work.
      log.error("instance_taken", "another agent has become this instance", {{"holder", *taken_by}});
      loop.request_stop("the instance was taken", daemon::exit_refused);
    }
    pool.idle_trim(unused_connections);
    rollback_pool.idle_trim(unused_connections);
    const auto pause = away.empty() ? current.heartbeat : look_again;
    alive = co_await stop.sleep_for(pause);
  }
}

awaitable<void> application::parts::drain() {
  health.set("workers", false, "stopping");
  hub.close();
  if (server) co_await server->drain(current.core.stop_grace);
  const bool ended = co_await supervisor.wait(current.core.stop_grace);
  if (!ended) log.warning("drain", "some workers did not end in time", {{"running", supervisor.running()}});
  // Without a database nothing can be told to it; the claim ends with the session.
  if (!ended || !pool.available()) co_return;
  co_await taking->flush(spool_flush_limit);
  co_await quantumflow::end_in_order(crashes);
  co_await claim.release();
}

void application::parts::apply_reload() {
  const auto fresh = reload();
  const auto merged = fresh ? base::result<config::values>(config::apply_reloadable(configured, *fresh)) : fresh;
  auto policy = merged ? policy_from(*merged) : base::result<voting::policy_settings>(merged.error());
  if (!policy) {
    log.error("reload", "the new configuration is not taken", {{"error", policy.error()}});
    return;
  }
  daemon::log_reload(log, configured, *fresh);
  configured = *merged;
  votes.set_policy(std::move(*policy));
  if (!loop.stop_token().soft_requested()) size_consumers();
  if (const auto level = telemetry::parse_log_level(configured.get_string("log.level"))) log.set_level(*level);
}

void application::parts::refresh_metrics() {
  vitals.refresh(health);
  for (const auto& [name, now] : {std::pair("main", pool.stats()), std::pair("rollback", rollback_pool.stats())})
    vitals.show_pool({name, now.open, now.idle, now.waiting, now.connect_failures_total});
}

}  // namespace fleet::agent
