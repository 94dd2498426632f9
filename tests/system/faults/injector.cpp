#include "tests/system/faults/injector.hpp"

#include <fmt/format.h>
#include <signal.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <thread>

#include "tests/support/run.hpp"

namespace fleet::test::faults {

namespace {

using std::chrono::milliseconds;
using steady = std::chrono::steady_clock;

/// Not a wait for a condition: how long a fault lasts.
void let_pass(milliseconds time) {
  std::this_thread::sleep_for(time);
}

constexpr std::chrono::seconds recovery_limit{60};

}  // namespace

void injector::skip(const planned_fault& fault, const std::string& why) {
  skipped_[std::string(to_string(fault.kind))] = why;
}

void injector::inject(const planned_fault& fault) {
  let_pass(fault.before);
  const std::string name(to_string(fault.kind));
  entry begun{.kind = "fault", .who = fault.target, .op = name, .answer = "begun"};
  begun.detail["planned_ms"] = fault.lasts.count();
  with_.record.add(std::move(begun));
  with_.watch.phase(fault.kind == fault_kind::calm ? "load" : "");
  try {
    carry_out(fault);
  } catch (const std::exception& error) {
    undo(error.what());
  }
  with_.record.add({.kind = "fault", .who = fault.target, .op = name, .answer = "ended"});
  if (skipped_.count(name) == 0) ++injected_[name];
  wait_for_recovery(fault);
  with_.watch.phase("load");
}

/// The suite itself failed in the middle of a fault: the run goes on, and the failure breaks an invariant.
void injector::undo(const std::string& why) {
  entry made{.kind = "exit", .who = "the suite", .op = why, .answer = "unexpected"};
  with_.record.add(std::move(made));
  with_.fleet.proxy.clear();
  with_.fleet.postgres.start();
  with_.calls.resume();
}

void injector::carry_out(const planned_fault& fault) {
  switch (fault.kind) {
    case fault_kind::calm:
      return let_pass(fault.lasts);
    case fault_kind::kill_daemon:
    case fault_kind::stop_daemon:
    case fault_kind::freeze_daemon:
      return on_daemon(fault);
    case fault_kind::black_hole:
    case fault_kind::reset:
    case fault_kind::half_open:
    case fault_kind::delay:
    case fault_kind::trickle:
    case fault_kind::drop_commit_reply:
    case fault_kind::listener_black_hole:
    case fault_kind::listener_half_open:
      return on_connections(fault);
    case fault_kind::restart_postgres:
    case fault_kind::kill_postgres:
    case fault_kind::database_away:
    case fault_kind::quiet_outage:
    case fault_kind::held_transaction:
      return on_database(fault);
    case fault_kind::terminate_backends:
      return terminate_backends(fault);
    case fault_kind::connections_used_up:
      return use_up_connections(fault);
    case fault_kind::spool_disk_full:
    case fault_kind::spool_torn:
    case fault_kind::spool_power_cut:
      return on_spool(fault);
    case fault_kind::sighup_storm:
      return sighup_storm(fault);
    case fault_kind::schema_ahead:
      return schema_ahead(fault);
    case fault_kind::clock_jump:
      return clock_jump(fault);
    case fault_kind::poison_burst:
      return poison_burst();
    case fault_kind::proposals_at_once:
      return with_.calls.burst(5);
  }
}

void injector::start(const std::string& daemon) {
  with_.fleet.process(daemon).start();
  with_.watch.processes_changed();
}

void injector::expect_exit(const std::string& daemon, const std::string& op, int expected, int actual) {
  entry made{.kind = "exit", .who = daemon, .op = op, .answer = expected == actual ? "expected" : "unexpected"};
  made.detail["expected"] = expected;
  made.detail["actual"] = actual;
  with_.record.add(std::move(made));
}

void injector::on_daemon(const planned_fault& fault) {
  auto& process = with_.fleet.process(fault.target);
  if (fault.kind == fault_kind::freeze_daemon) {
    process.send(SIGSTOP);
    let_pass(fault.lasts);
    process.send(SIGCONT);
    return;
  }
  if (fault.kind == fault_kind::kill_daemon) {
    process.kill9();
  } else {
    process.send(SIGTERM);
    expect_exit(fault.target, "SIGTERM", 0, process.wait(std::chrono::seconds(14)));
    if (process.running()) process.kill9();
  }
  let_pass(fault.lasts);
  start(fault.target);
}

void injector::on_connections(const planned_fault& fault) {
  auto& proxy = with_.fleet.proxy;
  const auto set = [&](link_fault what, link_scope scope = link_scope::all) { proxy.set(fault.target, what, scope); };
  switch (fault.kind) {
    case fault_kind::black_hole:
      set(link_fault::black_hole);
      break;
    case fault_kind::reset:
      set(link_fault::reset);
      break;
    case fault_kind::half_open:
      set(link_fault::half_open);
      break;
    case fault_kind::delay:
      set(link_fault::delay);
      break;
    case fault_kind::trickle:
      set(link_fault::trickle);
      break;
    case fault_kind::drop_commit_reply:
      set(link_fault::drop_commit_reply);
      break;
    case fault_kind::listener_black_hole:
      set(link_fault::black_hole, link_scope::listeners);
      break;
    default:
      set(link_fault::half_open, link_scope::listeners);
      break;
  }
  let_pass(fault.lasts);
  proxy.clear();
}

void injector::on_database(const planned_fault& fault) {
  auto& server = with_.fleet.postgres;
  if (fault.kind == fault_kind::held_transaction) {
    sql_session holder(with_.fleet.admin_url(), "holder");
    holder.query("begin isolation level repeatable read");
    holder.query("select pg_current_xact_id(), count(*) from pg_class");
    // Idle in a transaction, the session would be ended after a minute.
    for (const auto end = steady::now() + fault.lasts; steady::now() < end; let_pass(milliseconds(500)))
      holder.query("select 1");
    holder.query("commit");
    return;
  }
  const bool quiet = fault.kind == fault_kind::quiet_outage;
  if (quiet) with_.calls.pause();
  if (fault.kind == fault_kind::kill_postgres) {
    server.kill9();
  } else {
    server.stop();
  }
  // What the first seconds cost is the noticing, not the being away.
  const auto noticing = quiet ? milliseconds(2'000) : milliseconds(0);
  let_pass(noticing);
  if (quiet) with_.watch.phase("outage");
  let_pass(fault.lasts);
  with_.watch.phase("");
  server.start();
  if (quiet) with_.calls.resume();
}

void injector::terminate_backends(const planned_fault& fault) {
  sql_session admin(with_.fleet.admin_url(), "terminator");
  for (const auto end = steady::now() + fault.lasts; steady::now() < end;) {
    admin.query(
        "select pg_terminate_backend(pid) from (select pid from pg_stat_activity where datname = 'faults' "
        "and backend_type = 'client backend' and usename <> 'postgres' order by random() limit 2) unlucky");
    let_pass(milliseconds(200));
  }
}

/// All that the daemons may have, after they lost what they had.
void injector::use_up_connections(const planned_fault& fault) {
  std::vector<std::unique_ptr<sql_session>> held;
  for (int i = 0; i < 120; ++i) {
    auto one = std::make_unique<sql_session>(with_.fleet.admin_url(), "hoarder");
    try {
      one->query("select 1");
    } catch (const std::exception&) {
      break;
    }
    held.push_back(std::move(one));
    if (held.size() % 20 != 0) continue;
    held.back()->query(
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = 'faults' and usename <> 'postgres'");
  }
  let_pass(fault.lasts);
}

void injector::sighup_storm(const planned_fault& fault) {
  const auto path = with_.fleet.config_path(fault.target);
  std::ifstream in(path);
  const std::string good((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  auto& process = with_.fleet.process(fault.target);
  int n = 0;
  for (const auto end = steady::now() + fault.lasts; steady::now() < end; ++n) {
    const char* const wrong[] = {"[log]\nlevel = loud\n", "[no_such_section]\nkey = 1\n", "no ini at all\n"};
    std::ofstream(path) << good << wrong[n % 3];
    process.send(SIGHUP);
    let_pass(milliseconds(10));
  }
  std::ofstream(path) << good;
  process.send(SIGHUP);
  if (!process.running()) expect_exit(fault.target, "SIGHUP", -1, 0);
}

void injector::schema_ahead(const planned_fault& fault) {
  sql_session admin(with_.fleet.admin_url(), "migrator");
  auto& process = with_.fleet.process(fault.target);
  process.kill9();
  admin.query(
      "insert into quantumflow.schema_migration select (jsonb_populate_record(m, jsonb_build_object('version', "
      "m.version + 1))).* from quantumflow.schema_migration m order by m.version desc limit 1");
  start(fault.target);
  expect_exit(fault.target, "a later schema", 2, process.wait(std::chrono::seconds(10)));
  if (process.running()) process.kill9();
  let_pass(fault.lasts);
  admin.query(
      "delete from quantumflow.schema_migration where version = (select max(version) from "
      "quantumflow.schema_migration)");
  start(fault.target);
}

void injector::clock_jump(const planned_fault& fault) {
  const std::string library = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";
  if (!std::filesystem::exists(library)) return skip(fault, "libfaketime is not installed");
  auto& process = with_.fleet.process(fault.target);
  const auto usual = process.environment;
  process.kill9();
  process.environment["LD_PRELOAD"] += ":" + library;
  process.environment["FAKETIME"] = "+1h";
  process.environment["FAKETIME_DONT_FAKE_MONOTONIC"] = "1";
  start(fault.target);
  let_pass(fault.lasts);
  process.kill9();
  process.environment = usual;
  start(fault.target);
}

void injector::poison_burst() {
  sql_session admin(with_.fleet.admin_url(), "poisoner");
  admin.query(
      "select quantumflow.publish(q, jsonb_build_object('type', 'nonsense', 'poison', 'burst')) from "
      "generate_series(1, 10), unnest('{proposals_for_consensus_queue,votes_for_consensus_queue,"
      "metrics_to_guardian_queue,patterns_for_aggregator_queue}'::text[]) q");
  admin.query(
      "select quantumflow.publish(q, jsonb_build_object('type', 'nonsense', 'poison', 'burst'), r) from "
      "unnest('{rollback_triggers_queue,consensus_results_queue}'::text[]) q, "
      "unnest('{agent-0,agent-1,agent-2}'::text[]) r");
}

/// What still waits of what was there when the fault ended; "" where all is handled.
std::string injector::work_left(double ended) {
  auto& fleet = with_.fleet;
  for (const auto& name : fleet.names()) {
    if (!fleet.process(name).running()) return name + " does not run";
    if (!fleet.is_agent(name)) continue;
    std::string metrics;
    fleet.ask(name, "/metrics", &metrics);
    if (metrics.find("singularity_spool_entries 0\n") == std::string::npos) return name + " has something in its spool";
  }
  try {
    sql_session admin(fleet.admin_url(), "recovery");
    const auto waiting =
        admin.value("select count(*) from quantumflow.unread where enqueued_at < to_timestamp($1::float8)",
                    postgres::make_params(ended));
    return waiting == "0" ? "" : waiting + " messages wait";
  } catch (const std::exception& error) {
    return error.what();
  }
}

std::string injector::not_ready() {
  for (const auto& name : with_.fleet.names())
    if (!with_.fleet.ready(name)) return name + " is not ready";
  return {};
}

void injector::wait_for_recovery(const planned_fault& fault) {
  const double ended = now();
  entry made{.kind = "recovery", .who = fault.target, .op = std::string(to_string(fault.kind))};
  const auto deadline = steady::now() + recovery_limit * patience();
  const auto wait_for = [&](const char* figure, const std::function<std::string()>& lacking) {
    auto left = lacking();
    while (!left.empty() && steady::now() < deadline) {
      made.detail["lacking"] = left;  // last of all
      let_pass(milliseconds(50));
      left = lacking();
    }
    made.detail[figure] = now() - ended;
    return left.empty();
  };
  // A daemon says that it is ready again only some seconds after its workers are; its work is not to wait for that.
  const bool worked = wait_for("seconds", [&] { return work_left(ended); });
  const bool ready = wait_for("ready_seconds", [&] { return not_ready(); });
  made.answer = worked && ready ? "done" : "not";
  with_.record.add(std::move(made));
  // A daemon that gave up is an error of its own; the rest of the run needs it.
  for (const auto& name : with_.fleet.names()) {
    if (with_.fleet.process(name).running()) continue;
    expect_exit(name, "ended by itself", -1, 0);
    start(name);
  }
}

}  // namespace fleet::test::faults
