#include "common/quantumflow/database_checks.hpp"

#include <fmt/format.h>

#include <memory>
#include <optional>
#include <utility>

#include "common/postgres/connection.hpp"
#include "common/quantumflow/schema_version.hpp"

namespace fleet::quantumflow {
namespace {

using base::finding;
using boost::asio::awaitable;
using std::chrono::milliseconds;

constexpr milliseconds clock_noticed{1'000};
/// As long as a vote is open by default: a decision would seem to come before its question.
constexpr milliseconds clock_wrong{30'000};

std::string how_to_connect(const database_checks& what, const std::string& refused) {
  if (refused.find("password authentication failed") == std::string::npos)
    return "mend database.url, or start the server";
  if (what.instance.empty()) return "mend the password in database.url, or set it: alter role NAME password '…'";
  return fmt::format(
      "mend the password in database.url; `centralcloud_daemon enroll {} --rotate-password` gives a new one",
      what.instance);
}

constexpr auto coordinator_role =
    "create role NAME login password '…' in role centralcloud, and name it in database.url";

struct session {
  const database_checks& what;
  std::unique_ptr<postgres::connection> on;
};

awaitable<finding> check_server(session& with) {
  const auto answer = co_await with.on->query(
      "select current_setting('server_version') as version, current_database() as database, pg_backend_pid() as pid, "
      "pg_is_in_recovery() as standby, current_setting('fsync') = 'on' and current_setting('full_page_writes') = 'on' "
      "as durable, coalesce(inet_server_addr() is null or inet_server_addr() << '127.0.0.0/8' or "
      "inet_server_addr() = '::1', true) as near, coalesce((select ssl from pg_stat_ssl where pid = pg_backend_pid()), "
      "false) as encrypted");
  const auto row = answer.single();
  const auto text = fmt::format("PostgreSQL {} at {}, database {}", row.get<std::string>("version"), with.on->server(),
                                row.get<std::string>("database"));
  if (row.get<bool>("standby"))
    co_return base::failed("database", text + ": a standby, which cannot be written to",
                           "name all hosts in database.url, with target_session_attrs=read-write");
  if (!row.get<bool>("durable"))
    co_return base::warned("database",
                           text + ": fsync or full_page_writes is off, a power failure loses what was accepted",
                           "set both to on in postgresql.conf, unless this is a test");
  if (!row.get<bool>("near") && !row.get<bool>("encrypted"))
    co_return base::warned("database", text + ": over a network without TLS",
                           "add sslmode=verify-full to database.url");
  co_return base::passed("database", text);
}

awaitable<finding> check_role(session& with) {
  const auto answer = co_await with.on->query(
      "select r.rolname as role, r.rolsuper as superuser, coalesce(pg_has_role(r.oid, to_regrole('quantumflow_owner'), "
      "'member'), false) as owner, coalesce(pg_has_role(r.oid, to_regrole('centralcloud'), 'member'), false) as "
      "coordinator, coalesce(pg_has_role(r.oid, to_regrole('singularity_agent'), 'member'), false) as agent "
      "from pg_roles r where r.rolname = session_user");
  const auto row = answer.single();
  const auto role = row.get<std::string>("role");
  const bool for_agent = !with.what.instance.empty();
  const auto instead = for_agent
                           ? fmt::format("use the url that `centralcloud_daemon enroll {}` prints", with.what.instance)
                           : std::string(coordinator_role);
  if (row.get<bool>("superuser"))
    co_return base::warned("role", role + " is a superuser: whoever takes over this daemon has the whole database",
                           instead);
  if (row.get<bool>("owner"))
    co_return base::warned("role", role + " belongs to quantumflow_owner: it may change the schema", instead);
  if (for_agent && row.get<bool>("agent")) co_return base::passed("role", role + ", in singularity_agent");
  if (!for_agent && row.get<bool>("coordinator")) co_return base::passed("role", role + ", in centralcloud");
  co_return base::failed("role", fmt::format("{} is not in {}", role, for_agent ? "singularity_agent" : "centralcloud"),
                         instead);
}

awaitable<finding> check_version(session& with) {
  const int found = co_await read_schema_version(*with.on);
  if (found == schema_version) co_return base::passed("schema", fmt::format("version {}", found));
  const auto fits = co_await check_schema(*with.on);
  co_return base::failed("schema", fits ? std::string("changed just now") : fits.error().message,
                         "with a url of the schema's owner, or a superuser, in PGFLOW_DATABASE_URL");
}

awaitable<finding> check_cluster(session& with) {
  const auto fits = co_await check_schema(*with.on);
  if (fits) co_return base::passed("cluster", "the one that the messages were written in");
  co_return base::failed("cluster", fits.error().message, "stop all that publishes before");
}

awaitable<finding> check_instance(session& with) {
  const auto& wanted = with.what.instance;
  const auto answer = co_await with.on->query("select quantumflow.session_instance() as instance");
  const auto found = answer.single().get<std::optional<std::string>>("instance");
  if (!found) co_return base::passed("instance", wanted + " (the role may act for any)");
  if (*found == wanted) co_return base::passed("instance", wanted);
  co_return base::failed(
      "instance", fmt::format("the role is enrolled for {}, and instance.id says {}", *found, wanted),
      fmt::format("set instance.id = {}, or use the url that `centralcloud_daemon enroll {}` prints", *found, wanted));
}

awaitable<finding> check_connections(session& with) {
  const auto answer = co_await with.on->query(
      // Of other roles' sessions only the user is shown; PostgreSQL's own processes have none.
      "select (select count(*) from pg_stat_activity where usesysid is not null and coalesce(backend_type, "
      "'client backend') = 'client backend') as used, "
      "current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int as most, "
      "(select count(*) from pg_stat_activity where usename = session_user) as own");
  const auto row = answer.single();
  const auto used = row.get<std::int64_t>("used");
  const auto most = row.get<std::int64_t>("most");
  const auto need = static_cast<std::int64_t>(with.what.connections);
  const auto text = fmt::format("{} of {} in use; this daemon opens at most {}", used, most, need);
  // A daemon that runs has its own already.
  if (most - used + row.get<std::int64_t>("own") >= need) co_return base::passed("connections", text);
  co_return base::warned("connections", text,
                         "raise max_connections, lower database.pool_size or queue.*.workers, or put a pooler between");
}

awaitable<finding> check_clock(session& with) {
  const auto before = with.what.clock->now();
  const auto answer = co_await with.on->query("select extract(epoch from clock_timestamp()) * 1000 as now_ms");
  const auto after = with.what.clock->now();
  const auto there = answer.single().get<double>("now_ms");
  const auto middle = before + (after - before) / 2;
  const auto here = std::chrono::duration<double, std::milli>(middle.time_since_epoch()).count();
  co_return grade_clock(milliseconds(static_cast<std::int64_t>(here - there)));
}

/// The notification comes from a second session: through a pooler the first one's own could come back to it by chance.
awaitable<finding> check_listen(session& with) {
  constexpr auto slower = "new messages are found by asking, seconds later";
  const auto listener = co_await postgres::connection::open(with.what.listen);
  const auto asked = co_await listener->query("select pg_backend_pid() as pid");
  if (asked.single().get<std::int32_t>("pid") != listener->backend_pid())
    co_return base::warned("listen", fmt::format("a connection pooler is between: {}", slower),
                           "let the session that listens reach the server itself");
  const auto channel = fmt::format("doctor_{}", listener->backend_pid());
  const auto statement = "listen " + channel;
  co_await listener->query(statement);
  const auto tell = "notify " + channel;
  co_await with.on->query(tell);
  co_await listener->wait_notification(with.what.listen_limit);
  const auto heard = listener->take_notifications();
  if (!heard.empty()) co_return base::passed("listen", "a notification arrived");
  co_return base::warned(
      "listen", fmt::format("no notification arrived within {} ms: {}", with.what.listen_limit.count(), slower),
      "let the session that listens reach the server itself");
}

awaitable<finding> check_snapshots(session& with) {
  const auto answer = co_await with.on->query("select * from quantumflow.oldest_snapshot()");
  if (answer.empty()) co_return base::passed("snapshots", "none is held");
  const auto row = answer.single();
  const auto seconds = row.get<std::optional<double>>("held_seconds");
  const auto text = fmt::format("the oldest is held by {}, {}, {} transactions ago", row.get<std::string>("holder"),
                                seconds ? fmt::format("for {:.0f} s", *seconds) : std::string("since an unknown time"),
                                row.get<std::int64_t>("transactions"));
  constexpr std::int64_t many_transactions = 1'000'000;
  const auto limit = static_cast<double>(with.what.old_snapshot.count());
  const bool old = seconds ? *seconds >= limit : row.get<std::int64_t>("transactions") >= many_transactions;
  if (!old) co_return base::passed("snapshots", text);
  const auto remedy = row.get<std::optional<std::string>>("remedy");
  co_return base::warned("snapshots", text + ": dead rows stay, and every query gets slower",
                         "end it: " + remedy.value_or("the coordinator's doctor says how"));
}

struct named_check {
  const char* name;
  awaitable<finding> (*run)(session&);
};

/// Runs one check; what it throws is its finding.
awaitable<finding> run_check(named_check check, session& with) {
  std::string thrown;
  try {
    auto found = co_await check.run(with);
    co_return found;
  } catch (const base::failure& failure) {
    thrown = failure.what();
  }
  co_return base::failed(check.name, thrown, "");
}

}  // namespace

base::finding grade_clock(milliseconds ahead) {
  const auto size = ahead < milliseconds(0) ? -ahead : ahead;
  const auto text = fmt::format("{:.3f} s {} the database's", static_cast<double>(size.count()) / 1000,
                                ahead < milliseconds(0) ? "behind" : "ahead of");
  constexpr auto advice = "let both machines keep time by NTP (timedatectl shows it)";
  if (size >= clock_wrong) return base::failed("clock", text, advice);
  if (size >= clock_noticed) return base::warned("clock", text, advice);
  return base::passed("clock", text);
}

awaitable<std::vector<finding>> examine_database(database_checks what) {
  std::vector<finding> all;
  session with{what, nullptr};
  std::string refused;
  try {
    with.on = co_await postgres::connection::open(what.database);
  } catch (const base::failure& failure) {
    refused = failure.what();
  }
  if (!with.on) {
    all.push_back(base::failed("database", refused, how_to_connect(what, refused)));
    co_return all;
  }
  const named_check first[] = {{"database", check_server},         {"role", check_role},   {"schema", check_version},
                               {"connections", check_connections}, {"clock", check_clock}, {"listen", check_listen}};
  bool usable = true;
  for (const auto& each : first) {
    auto found = co_await run_check(each, with);
    const std::string_view name = each.name;
    if (found.found == base::grade::fail && (name == "role" || name == "schema")) usable = false;
    all.push_back(std::move(found));
  }
  if (!usable) co_return all;
  const named_check cluster{"cluster", check_cluster};
  const named_check instance{"instance", check_instance};
  const named_check snapshots{"snapshots", check_snapshots};
  auto at_home = co_await run_check(cluster, with);
  all.push_back(std::move(at_home));
  if (!what.instance.empty()) {
    auto found = co_await run_check(instance, with);
    all.push_back(std::move(found));
  }
  auto held = co_await run_check(snapshots, with);
  all.push_back(std::move(held));
  co_return all;
}

}  // namespace fleet::quantumflow
