// Faults of the database and of the connections to it.
#include <memory>

#include "tests/system/faults/injector.hpp"

namespace fleet::test::faults {

namespace {

using std::chrono::milliseconds;
using steady = std::chrono::steady_clock;

}  // namespace

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
  const auto lost_before = proxy.dropped_commits();
  let_pass(fault.lasts);
  proxy.clear();
  if (fault.kind != fault_kind::drop_commit_reply) return;
  entry made{.kind = "note", .who = fault.target, .op = "replies_lost"};
  made.detail["count"] = proxy.dropped_commits() - lost_before;
  with_.record.add(std::move(made));
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

}  // namespace fleet::test::faults
