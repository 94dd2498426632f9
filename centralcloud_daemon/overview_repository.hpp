// What people are shown: lists and stories as JSON texts, as the database writes them.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <boost/json/object.hpp>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/error.hpp"
#include "common/base/ids.hpp"
#include "common/postgres/connection.hpp"

namespace fleet::central {

/// JSON texts, not values: numbers stay as they were written (0.85 and not 8.5E-1), and nothing is parsed only to be
/// written again. Lists are JSON arrays. All throw `postgres::sql_error`; an unknown queue is of kind `undefined`.

boost::asio::awaitable<std::string> list_queues(postgres::connection& connection);
boost::asio::awaitable<std::string> list_pending(postgres::connection& connection, std::string queue, std::int64_t max);
boost::asio::awaitable<std::string> list_dead_letters(postgres::connection& connection,
                                                      std::optional<std::string> queue, std::int64_t max);

/// A page of a list: what follows the item named `after`.
struct page {
  std::int64_t max = 100;
  std::optional<std::string> after = {};
};
/// What `list_proposals` may be asked for. Error `invalid_input` naming `status`, with what there is.
base::result<void> check_proposal_status(std::string_view status);
/// Newest first. `status`: of the vote or of the change, or not_begun: approved within a day, and not heard of since.
/// An unknown `after` is an `sql_error` (no_data_found).
boost::asio::awaitable<std::string> list_proposals(postgres::connection& connection, std::optional<std::string> status,
                                                   page wanted = {});

struct proposal_story {
  std::string text;             ///< a JSON object
  boost::json::object profile;  ///< the safety profile in force: of the change, before there is one the proposal's own
};
/// Nothing where there is no such proposal. `with_code` false: without `proposal.code_change`.
boost::asio::awaitable<std::optional<proposal_story>> read_story(postgres::connection& connection,
                                                                 base::proposal_id proposal, bool with_code = true,
                                                                 std::int64_t samples_after = 0);
/// By name.
boost::asio::awaitable<std::string> list_instances(postgres::connection& connection,
                                                   std::chrono::milliseconds fresh_for, page wanted = {});
boost::asio::awaitable<std::string> list_patterns(postgres::connection& connection, std::int64_t max);
boost::asio::awaitable<std::string> list_safety_profiles(postgres::connection& connection, std::int64_t max);

/// {at, queues[], pipeline{state: proposals}, instances{registered, fresh}}: what changes from second to second.
/// Instances that were silent for longer than `forgotten` count nowhere.
boost::asio::awaitable<std::string> read_overview(postgres::connection& connection, std::chrono::milliseconds fresh_for,
                                                  std::chrono::milliseconds forgotten);
/// The last hour: [{at, status, proposals}], a row a minute and status.
boost::asio::awaitable<std::string> read_activity(postgres::connection& connection);

struct step_page {
  std::string next_since;
  std::string steps;  ///< a JSON array of {proposal_id, state, cause, actor, at, description}, oldest first
};
/// Every step whose transaction `since` (of the page before) did not see; the newest `max` of all without it.
boost::asio::awaitable<step_page> steps_since(postgres::connection& connection, std::optional<std::string> since,
                                              std::int64_t max);

}  // namespace fleet::central
