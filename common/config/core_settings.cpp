#include "common/config/core_settings.hpp"

#include <map>

namespace fleet::config {
namespace {

base::decimal whole(std::int64_t number) {
  return base::decimal::from_int(number);
}

setting duration(std::string key, std::string fallback, std::int64_t min, std::int64_t max, std::string sentence) {
  setting what;
  what.key = std::move(key);
  what.type = value_type::duration_ms;
  what.fallback = std::move(fallback);
  what.min = whole(min);
  what.max = whole(max);
  what.sentence = std::move(sentence);
  what.unit = "ms";
  return what;
}

struct queue_default {
  const char* name;
  const char* workers;
  const char* environment;
};

/// As the message reference has them. Nobody here consumes the last one: it is for programs outside.
constexpr queue_default queue_defaults[] = {
    {"proposals_for_consensus_queue", "3", "PGFLOW_PROPOSALS_WORKERS"},
    {"votes_for_consensus_queue", "3", "PGFLOW_VOTES_WORKERS"},
    {"metrics_to_guardian_queue", "2", "PGFLOW_METRICS_WORKERS"},
    {"patterns_for_aggregator_queue", "1", "PGFLOW_PATTERNS_WORKERS"},
    {"voting_requests_queue", "2", ""},
    {"consensus_results_queue", "2", "PGFLOW_CONSENSUS_WORKERS"},
    {"rollback_triggers_queue", "1", "PGFLOW_ROLLBACK_WORKERS"},
    {"guardian_safety_profiles_queue", "1", "PGFLOW_SAFETY_WORKERS"},
    {"consensus_patterns_queue", "1", ""},
    {"learning_loop_completed_queue", "0", ""},
};

void add_database(schema& to) {
  setting url;
  url.key = "database.url";
  url.type = value_type::url;
  url.required = true;
  url.environment = "PGFLOW_DATABASE_URL";
  url.credential = "database_url";
  url.sentence =
      "PostgreSQL connection: a URL or a keyword string, as libpq takes it (several hosts, TLS and SCRAM too). The "
      "coordinator's role is a member of centralcloud; an agent's is made by `centralcloud_daemon enroll`.";
  to.add(url);
  setting listen;
  listen.key = "database.listen_url";
  listen.type = value_type::url;
  listen.sentence =
      "Connection to the server itself for the one session that is told of new messages, where database.url leads to a "
      "connection pooler (PgBouncer). Empty: database.url; through a pooler, or with none, queues are polled.";
  to.add(listen);
  setting pool;
  pool.key = "database.pool_size";
  pool.type = value_type::integer;
  pool.fallback = "8";
  pool.min = whole(2);
  pool.max = whole(100);
  pool.unit = "connections";
  pool.sentence = "Connections at most, besides those that queue workers hold.";
  to.add(pool);
  to.add(duration("database.connect_timeout_ms", "5000", 100, 300'000, "How long one attempt to connect may take."));
  to.add(duration("database.statement_timeout_ms", "10000", 100, 600'000, "How long one statement may take."));
}

void add_process(schema& to) {
  setting level;
  level.key = "log.level";
  level.fallback = "info";
  level.choices = {"debug", "info", "warning", "error"};
  level.reloadable = true;
  level.sentence = "The least severe level that is logged.";
  to.add(level);
  setting format;
  format.key = "log.format";
  format.fallback = "text";
  format.choices = {"text", "json"};
  format.sentence = "One line an event on standard error: text for people, json for machines.";
  to.add(format);
  to.add(duration("stop.grace_ms", "10000", 0, 600'000, "Time to finish work after SIGTERM before it is released."));
}

void add_queues(schema& to) {
  for (const auto& queue : queue_defaults) {
    const auto prefix = std::string("queue.") + queue.name;
    setting workers;
    workers.key = prefix + ".workers";
    workers.type = value_type::integer;
    workers.fallback = queue.workers;
    workers.min = whole(0);
    workers.max = whole(64);
    workers.unit = "coroutines, each with a connection of its own";
    workers.environment = queue.environment;
    workers.reloadable = true;
    workers.sentence = "Workers that take messages of this queue, where this daemon consumes it.";
    to.add(workers);
    setting retries;
    retries.key = prefix + ".max_retries";
    retries.type = value_type::integer;
    retries.fallback = "3";
    retries.min = whole(0);
    retries.max = whole(100);
    retries.unit = "retries";
    retries.general_environment = "PGFLOW_MAX_RETRIES";
    retries.sentence = "Retries after a failed first attempt before a message goes to the dead-letter queue.";
    to.add(retries);
    auto delay =
        duration(prefix + ".retry_delay_ms", "1000", 1, 60'000, "Before the first retry; each later one doubles it.");
    delay.general_environment = "PGFLOW_RETRY_DELAY_MS";
    to.add(delay);
  }
}

}  // namespace

const std::vector<std::string>& queue_names() {
  static const auto names = [] {
    std::vector<std::string> all;
    for (const auto& queue : queue_defaults) all.emplace_back(queue.name);
    return all;
  }();
  return names;
}

void add_core_settings(schema& to) {
  add_database(to);
  add_process(to);
  add_queues(to);
}

core_settings core_from(const values& all) {
  core_settings core;
  core.database_url = all.get_string("database.url");
  const auto& listen_url = all.get_string("database.listen_url");
  core.poll_only = listen_url == "none";
  core.listen_url = listen_url.empty() || core.poll_only ? core.database_url : listen_url;
  core.pool_size = static_cast<std::size_t>(all.get_int("database.pool_size"));
  core.connect_timeout = all.get_ms("database.connect_timeout_ms");
  core.statement_timeout = all.get_ms("database.statement_timeout_ms");
  core.log_level = all.get_string("log.level");
  core.log_json = all.get_string("log.format") == "json";
  core.stop_grace = all.get_ms("stop.grace_ms");
  return core;
}

queue_settings queue_from(const values& all, const std::string& queue) {
  const auto prefix = "queue." + queue;
  queue_settings settings;
  settings.workers = static_cast<std::size_t>(all.get_int(prefix + ".workers"));
  settings.max_retries = static_cast<int>(all.get_int(prefix + ".max_retries"));
  settings.retry_delay = all.get_ms(prefix + ".retry_delay_ms");
  return settings;
}

}  // namespace fleet::config
