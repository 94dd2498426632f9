// What people are shown: lists and stories as JSON texts, as the database writes them.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "common/base/ids.hpp"
#include "common/postgres/connection.hpp"

namespace fleet::central {

/// JSON texts, not values: numbers stay as they were written (0.85 and not 8.5E-1), and nothing is parsed only to be
/// written again. Lists are JSON arrays. All throw `postgres::sql_error`; an unknown queue is of kind `undefined`.

boost::asio::awaitable<std::string> list_queues(postgres::connection& connection);
boost::asio::awaitable<std::string> list_pending(postgres::connection& connection, std::string queue, std::int64_t max);
boost::asio::awaitable<std::string> list_dead_letters(postgres::connection& connection,
                                                      std::optional<std::string> queue, std::int64_t max);
boost::asio::awaitable<std::string> list_proposals(postgres::connection& connection, std::optional<std::string> status,
                                                   std::int64_t max);
/// Nothing where there is no such proposal.
boost::asio::awaitable<std::optional<std::string>> read_story(postgres::connection& connection,
                                                              base::proposal_id proposal);
boost::asio::awaitable<std::string> list_instances(postgres::connection& connection,
                                                   std::chrono::milliseconds fresh_for);
boost::asio::awaitable<std::string> list_patterns(postgres::connection& connection, std::int64_t max);

}  // namespace fleet::central
