#include "centralcloud_daemon/alerts/alert_repository.hpp"

namespace fleet::central::alerts {
namespace {

using boost::asio::awaitable;

alert_step step_of(std::string_view word) {
  if (word == "raised") return alert_step::raised;
  return word == "cleared" ? alert_step::cleared : alert_step::none;
}

std::string text_or_empty(const postgres::row& row, std::string_view name) {
  return row.get<std::optional<std::string>>(name).value_or("");
}

}  // namespace

awaitable<bool> raise_change_alert(postgres::transaction& open, change_alert what) {
  auto args =
      postgres::make_params(what.name, what.proposal, what.severity, what.text, what.value, what.bound, what.detail);
  const auto answer =
      co_await open.query("select centralcloud.raise_change_alert($1, $2, $3, $4, $5, $6, $7)", std::move(args));
  co_return answer.single().get<bool>(0);
}

awaitable<alert_step> settle(postgres::connection& on, finding what, std::chrono::milliseconds after) {
  std::string sql;
  postgres::params args;
  if (what.is == verdict::breached) {
    sql = "select centralcloud.observe_alert($1, $2, $3, $4, $5::float8::numeric, $6::float8::numeric, $7)";
    args =
        postgres::make_params(what.name, what.subject, what.severity, what.text, what.value, what.bound, after.count());
  } else if (what.is == verdict::between) {
    sql = "select centralcloud.hold_alert($1, $2)";
    args = postgres::make_params(what.name, what.subject);
  } else {
    sql = "select centralcloud.relieve_alert($1, $2, $3)";
    args = postgres::make_params(what.name, what.subject, after.count());
  }
  const auto answer = co_await on.query(std::move(sql), std::move(args));
  co_return step_of(answer.single().text(0));
}

awaitable<bool> clear_alert(postgres::connection& on, std::int64_t alert, std::string actor) {
  auto args = postgres::make_params(alert, actor);
  const auto answer = co_await on.query("select centralcloud.clear_alert($1, $2)", std::move(args));
  co_return answer.single().get<bool>(0);
}

awaitable<std::vector<open_alert>> open_alerts(postgres::connection& on) {
  const auto answer = co_await on.query("select name, subject, change_state, silent from centralcloud.open_alerts()");
  std::vector<open_alert> open;
  for (const auto& row : answer) {
    open_alert one;
    one.name = row.get<std::string>("name");
    one.subject = row.get<std::string>("subject");
    one.change_state = row.get<std::optional<std::string>>("change_state");
    one.change_silent = row.get<std::optional<bool>>("silent").value_or(false);
    open.push_back(std::move(one));
  }
  co_return open;
}

awaitable<active_alerts> count_active(postgres::connection& on) {
  const auto answer = co_await on.query("select name, severity, active from centralcloud.count_active_alerts()");
  active_alerts active;
  for (const auto& row : answer) {
    active.emplace(std::pair(row.get<std::string>("name"), row.get<std::string>("severity")),
                   row.get<std::int64_t>("active"));
  }
  co_return active;
}

awaitable<void> keep(postgres::connection& on, std::chrono::milliseconds repeat_interval) {
  auto args = postgres::make_params(repeat_interval.count());
  co_await on.query("select centralcloud.keep_alerts($1)", std::move(args));
}

awaitable<std::string> list_alerts(postgres::connection& on, bool recent, std::int64_t max) {
  auto args = postgres::make_params(recent, max);
  const auto answer = co_await on.query(
      "select coalesce(jsonb_agg(item order by n), '[]')::text as list"
      " from centralcloud.list_alerts($1, $2::int) with ordinality as listed(item, n)",
      std::move(args));
  co_return answer.single().get<std::string>("list");
}

awaitable<std::string> raise_test(postgres::connection& on, std::string actor) {
  auto args = postgres::make_params(actor);
  const auto answer = co_await on.query("select centralcloud.test_alert($1)::text", std::move(args));
  co_return answer.single().get<std::string>(0);
}

awaitable<std::vector<delivery_state>> deliveries_of(postgres::connection& on, std::string notice) {
  auto args = postgres::make_params(notice);
  const auto answer = co_await on.query("select * from centralcloud.alert_deliveries($1::uuid)", std::move(args));
  std::vector<delivery_state> all;
  for (const auto& row : answer) {
    delivery_state one;
    one.channel = row.get<std::string>("channel");
    one.attempts = row.get<int>("attempts");
    one.settled = row.get<bool>("settled");
    one.delivered = row.get<bool>("delivered");
    one.error = text_or_empty(row, "error");
    all.push_back(std::move(one));
  }
  co_return all;
}

awaitable<fleet_figures> read_fleet_figures(postgres::connection& on, trouble_bounds from) {
  auto args = postgres::make_params(from.silent.count(), from.forgotten.count());
  const auto answer = co_await on.query("select * from centralcloud.fleet_figures($1, $2)", std::move(args));
  const auto row = answer.single();
  fleet_figures now;
  now.live_instances = row.get<std::int64_t>("live_instances");
  now.silent_instances = row.get<std::int64_t>("silent_instances");
  now.open_votes = row.get<std::int64_t>("open_votes");
  now.watched_changes = row.get<std::int64_t>("watched_changes");
  now.log_bytes = row.get<std::int64_t>("log_bytes");
  now.held_seconds = row.get<double>("held_seconds");
  now.held_by = text_or_empty(row, "held_by");
  co_return now;
}

awaitable<std::vector<held_snapshot>> oldest_snapshots(postgres::connection& on) {
  const auto answer = co_await on.query("select * from quantumflow.oldest_snapshots()");
  std::vector<held_snapshot> all;
  for (const auto& row : answer) {
    held_snapshot one;
    one.kind = row.get<std::string>("kind");
    one.holder = text_or_empty(row, "holder");
    one.seconds = row.get<double>("held_seconds");
    one.transactions = row.get<std::int64_t>("transactions");
    all.push_back(std::move(one));
  }
  co_return all;
}

awaitable<std::vector<troubled_instance>> troubled_instances(postgres::connection& on, trouble_bounds from) {
  auto args = postgres::make_params(from.silent.count(), from.forgotten.count());
  const auto answer = co_await on.query("select * from centralcloud.troubled_instances($1, $2)", std::move(args));
  std::vector<troubled_instance> troubled;
  for (const auto& row : answer) {
    troubled_instance one;
    one.name = row.get<std::string>("instance_id");
    one.silent_seconds = row.get<double>("silent_seconds");
    one.backlog = static_cast<double>(row.get<std::int64_t>("backlog"));
    troubled.push_back(std::move(one));
  }
  co_return troubled;
}

awaitable<std::vector<pending_rollback>> pending_rollbacks(postgres::connection& on) {
  const auto answer = co_await on.query("select * from centralcloud.pending_rollbacks()");
  std::vector<pending_rollback> pending;
  for (const auto& row : answer) {
    pending_rollback one;
    one.proposal = row.get<std::string>("proposal_id");
    one.instance = row.get<std::string>("instance_id");
    one.seconds = row.get<double>("pending_seconds");
    pending.push_back(std::move(one));
  }
  co_return pending;
}

awaitable<std::optional<boost::json::object>> take_notice(postgres::connection& on, std::string channel,
                                                          std::chrono::milliseconds lease) {
  auto args = postgres::make_params(channel, lease.count());
  const auto answer = co_await on.query("select centralcloud.take_alert_notice($1, $2)", std::move(args));
  co_return answer.single().get<std::optional<boost::json::object>>(0);
}

awaitable<void> settle_notice(postgres::connection& on, delivery how) {
  std::optional<std::int64_t> retry_ms;
  if (how.retry_after) retry_ms = how.retry_after->count();
  auto args = postgres::make_params(how.notice, how.channel, how.delivered, how.error, retry_ms);
  co_await on.query("select centralcloud.settle_alert_notice($1::uuid, $2, $3, nullif($4, ''), $5)", std::move(args));
}

}  // namespace fleet::central::alerts
