#include "centralcloud_daemon/overview_repository.hpp"

#include <utility>

namespace fleet::central {
namespace {

using boost::asio::awaitable;

/// `source`: a set-returning expression with the columns `item` (jsonb) and `n` (its place).
awaitable<std::string> list(postgres::connection& connection, std::string source, postgres::params args) {
  const auto answer = co_await connection.query(
      "select coalesce(jsonb_agg(item order by n), '[]')::text as list from " + std::move(source), std::move(args));
  co_return answer.single().get<std::string>("list");
}

}  // namespace

awaitable<std::string> list_queues(postgres::connection& connection) {
  postgres::params none;
  co_return co_await list(
      connection, "(select to_jsonb(q) as item, row_number() over () as n from quantumflow.list_queues() q) listed",
      std::move(none));
}

awaitable<std::string> list_pending(postgres::connection& connection, std::string queue, std::int64_t max) {
  auto args = postgres::make_params(queue, max);
  co_return co_await list(connection,
                          "(select to_jsonb(m) as item, row_number() over () as n"
                          " from quantumflow.list_pending_messages($1, $2) m) listed",
                          std::move(args));
}

awaitable<std::string> list_dead_letters(postgres::connection& connection, std::optional<std::string> queue,
                                         std::int64_t max) {
  auto args = postgres::make_params(queue, max);
  co_return co_await list(connection,
                          "(select to_jsonb(m) as item, row_number() over () as n"
                          " from quantumflow.list_dlq_messages($1, $2) m) listed",
                          std::move(args));
}

awaitable<std::string> list_proposals(postgres::connection& connection, std::optional<std::string> status,
                                      std::int64_t max) {
  auto args = postgres::make_params(status, max);
  co_return co_await list(connection, "centralcloud.list_proposals($1, $2) with ordinality as listed(item, n)",
                          std::move(args));
}

awaitable<std::optional<std::string>> read_story(postgres::connection& connection, base::proposal_id proposal) {
  auto args = postgres::make_params(proposal);
  const auto answer =
      co_await connection.query("select centralcloud.proposal_story($1)::text as story", std::move(args));
  co_return answer.single().get<std::optional<std::string>>("story");
}

awaitable<std::string> list_instances(postgres::connection& connection, std::chrono::milliseconds fresh_for) {
  auto args = postgres::make_params(fresh_for.count());
  co_return co_await list(connection, "centralcloud.list_instances($1) with ordinality as listed(item, n)",
                          std::move(args));
}

awaitable<std::string> list_patterns(postgres::connection& connection, std::int64_t max) {
  auto args = postgres::make_params(max);
  co_return co_await list(connection, "centralcloud.list_patterns($1) with ordinality as listed(item, n)",
                          std::move(args));
}

}  // namespace fleet::central
