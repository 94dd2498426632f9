// The SQL of timed work: when something is due.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <optional>

#include "common/postgres/connection.hpp"

namespace fleet::central {

/// Until a vote's deadline, a window's end, or a silence of `silence`; 0: something is due; empty: nothing will be. By
/// the database's clock. Throws `postgres::sql_error`.
boost::asio::awaitable<std::optional<std::chrono::milliseconds>> next_due(postgres::connection& connection,
                                                                          std::chrono::milliseconds silence);

}  // namespace fleet::central
