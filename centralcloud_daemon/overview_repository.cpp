#include "centralcloud_daemon/overview_repository.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <utility>

#include "common/base/text.hpp"

namespace fleet::central {
namespace {

using boost::asio::awaitable;

/// The states of a vote, then those of a change, as the tables' checks have them.
constexpr std::array<std::string_view, 11> proposal_statuses = {
    "voting",      "approved",        "rejected", "executing", "watching", "confirmed", "rollback_triggered",
    "rolled_back", "rollback_failed", "failed",   "not_begun"};

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

base::result<void> check_proposal_status(std::string_view status) {
  if (std::find(proposal_statuses.begin(), proposal_statuses.end(), status) != proposal_statuses.end()) return {};
  return base::invalid_fields({{"status", fmt::format("expected one of {}, got {}", fmt::join(proposal_statuses, ", "),
                                                      base::abbreviate(status, 100))}});
}

awaitable<std::string> list_proposals(postgres::connection& connection, std::optional<std::string> status,
                                      page wanted) {
  auto args = postgres::make_params(status, wanted.max, wanted.after);
  co_return co_await list(connection, "centralcloud.list_proposals($1, $2, $3) with ordinality as listed(item, n)",
                          std::move(args));
}

awaitable<std::optional<proposal_story>> read_story(postgres::connection& connection, base::proposal_id proposal,
                                                    bool with_code, std::int64_t samples_after) {
  auto args = postgres::make_params(proposal, with_code, samples_after);
  const auto answer = co_await connection.query(
      "select s::text as story, coalesce(nullif(s #> '{change,profile}', 'null'), s #> '{proposal,safety_profile}', "
      "'{}')"
      " as profile from centralcloud.proposal_story($1, $2, $3) s",
      std::move(args));
  const auto row = answer.single();
  auto text = row.get<std::optional<std::string>>("story");
  if (!text) co_return std::nullopt;
  proposal_story story;
  story.text = std::move(*text);
  story.profile = row.get<boost::json::object>("profile");
  co_return story;
}

awaitable<std::string> list_instances(postgres::connection& connection, std::chrono::milliseconds fresh_for,
                                      page wanted) {
  auto args = postgres::make_params(fresh_for.count(), wanted.max, wanted.after);
  co_return co_await list(connection, "centralcloud.list_instances($1, $2, $3) with ordinality as listed(item, n)",
                          std::move(args));
}

awaitable<std::string> list_patterns(postgres::connection& connection, std::int64_t max) {
  auto args = postgres::make_params(max);
  co_return co_await list(connection, "centralcloud.list_patterns($1) with ordinality as listed(item, n)",
                          std::move(args));
}

awaitable<std::string> list_safety_profiles(postgres::connection& connection, std::int64_t max) {
  auto args = postgres::make_params(max);
  co_return co_await list(connection, "centralcloud.list_safety_profiles($1) with ordinality as listed(item, n)",
                          std::move(args));
}

awaitable<std::string> read_overview(postgres::connection& connection, std::chrono::milliseconds fresh_for,
                                     std::chrono::milliseconds forgotten) {
  auto args = postgres::make_params(fresh_for.count(), forgotten.count());
  const auto answer =
      co_await connection.query("select centralcloud.overview($1, $2)::text as overview", std::move(args));
  co_return answer.single().get<std::string>("overview");
}

awaitable<std::string> read_activity(postgres::connection& connection) {
  postgres::params none;
  const auto answer = co_await connection.query("select centralcloud.activity()::text as activity", std::move(none));
  co_return answer.single().get<std::string>("activity");
}

awaitable<step_page> steps_since(postgres::connection& connection, std::optional<std::string> since, std::int64_t max) {
  auto args = postgres::make_params(since, max);
  const auto answer = co_await connection.query(
      "select next_since, steps::text as steps from centralcloud.steps_since($1::pg_snapshot, $2)", std::move(args));
  const auto row = answer.single();
  step_page page;
  page.next_since = row.get<std::string>("next_since");
  page.steps = row.get<std::string>("steps");
  co_return page;
}

}  // namespace fleet::central
