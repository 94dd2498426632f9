#include "common/quantumflow/maintenance.hpp"

#include <utility>

namespace fleet::quantumflow {

using boost::asio::awaitable;

awaitable<std::vector<segment_state>> rotate(postgres::connection& connection, maintenance_settings how) {
  auto arguments = postgres::make_params(how.rotation_interval.count(), how.segment_bytes, how.lock_timeout.count());
  const auto answer = co_await connection.query(
      "select segment, state, bytes, coalesce(held_by, '') as held_by, coalesce(held_seconds, 0) as held_seconds"
      "  from quantumflow.rotate(make_interval(secs => $1), $2, $3::int)",
      std::move(arguments), how.statement_limit);
  std::vector<segment_state> all;
  for (const auto& row : answer) {
    segment_state each;
    each.segment = row.get<int>("segment");
    each.state = row.get<std::string>("state");
    each.bytes = row.get<std::int64_t>("bytes");
    each.held_by = row.get<std::string>("held_by");
    each.held_for = std::chrono::duration<double>(row.get<double>("held_seconds"));
    all.push_back(std::move(each));
  }
  co_return all;
}

awaitable<std::int64_t> move_laggards(postgres::connection& connection, maintenance_settings how, std::int64_t piece) {
  const std::int64_t after_seconds = how.rotation_interval.count() * how.lag_rotations;
  auto arguments = postgres::make_params(after_seconds, piece, how.lock_timeout.count());
  const auto answer = co_await connection.query(
      "select quantumflow.move_laggards(make_interval(secs => $1), $2::int, $3::int)::bigint as moved",
      std::move(arguments), how.statement_limit);
  co_return answer.single().get<std::int64_t>("moved");
}

awaitable<std::optional<expired_instance>> expire_instance(postgres::connection& connection, maintenance_settings how) {
  auto arguments =
      postgres::make_params(static_cast<std::int64_t>(how.instance_expiry.count()), how.lock_timeout.count());
  const auto answer = co_await connection.query(
      "select instance, dead_letters from quantumflow.expire_instances(make_interval(hours => $1::int), $2::int)",
      std::move(arguments), how.statement_limit);
  if (answer.empty()) co_return std::nullopt;
  expired_instance expired;
  expired.instance = answer.single().get<std::string>("instance");
  expired.dead_letters = answer.single().get<std::int64_t>("dead_letters");
  co_return expired;
}

awaitable<void> count_messages(postgres::connection& connection) {
  co_await connection.query("select quantumflow.count_messages()");
}

awaitable<void> tick_xid_clock(postgres::connection& connection) {
  co_await connection.query("select quantumflow.tick_xid_clock()");
}

awaitable<void> trim_positions(postgres::connection& connection) {
  co_await connection.query("select quantumflow.trim_positions()");
}

}  // namespace fleet::quantumflow
