#include "tests/system/faults/injector.hpp"

#include <fmt/format.h>

#include <functional>
#include <thread>

#include "tests/support/run.hpp"

namespace fleet::test::faults {

namespace {

using std::chrono::milliseconds;
using steady = std::chrono::steady_clock;

/// Twice what the longest outage has taken so far.
constexpr std::chrono::seconds recovery_limit{30};

}  // namespace

void let_pass(milliseconds time) {
  std::this_thread::sleep_for(time);
}

void injector::skip(const planned_fault& fault, const std::string& why) {
  const std::string name(to_string(fault.kind));
  skipped_[name] = why;
  with_.record.add({.kind = "note", .who = fault.target, .op = "skipped", .subject = name});
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
    case fault_kind::kill_coordinator:
    case fault_kind::stop_daemon:
    case fault_kind::stop_at_once:
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
    case fault_kind::bad_config:
      return bad_config(fault);
    case fault_kind::schema_ahead:
    case fault_kind::schema_behind:
      return other_schema(fault);
    case fault_kind::clock_jump:
      return clock_jump(fault);
    case fault_kind::poison_burst:
      return poison_burst();
    case fault_kind::proposals_at_once:
      with_.calls.burst("good-burst", fault.is_short ? 5 : 34);
      return;
    case fault_kind::flood:
      return flood(fault);
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

bool injector::spool_is_empty(const std::string& agent) {
  std::string metrics;
  with_.fleet.ask(agent, "/metrics", &metrics);
  return metrics.find("singularity_spool_entries 0\n") != std::string::npos;
}

/// What still waits of what was there when the fault ended; "" where all is handled.
std::string injector::work_left(double ended) {
  auto& fleet = with_.fleet;
  for (const auto& name : fleet.names()) {
    if (!fleet.process(name).running()) return name + " does not run";
    if (!fleet.is_agent(name)) continue;
    if (!spool_is_empty(name)) return name + " has something in its spool";
  }
  try {
    sql_session admin(fleet.admin_url(), "recovery");
    const auto waiting = admin.value(
        "select (select count(*) from quantumflow.unread where enqueued_at < to_timestamp($1::float8)) + (select "
        "count(*) from quantumflow.retry where taken_by is null and enqueued_at < to_timestamp($1::float8))",
        postgres::make_params(ended));
    return waiting == "0" ? "" : waiting + " messages wait, or wait to be tried again";
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
