// Whether a database's schema is the one that this build works with.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <functional>
#include <string>

#include "common/async/stop.hpp"
#include "common/base/error.hpp"
#include "common/postgres/connection.hpp"
#include "common/postgres/pool.hpp"

namespace fleet::quantumflow {

/// The version of the schema that this build was written for: the number of the newest file in sql/migrations.
inline constexpr int schema_version = 20;

/// The version of the newest migration that was applied; 0 where none was. Throws `postgres::sql_error`.
boost::asio::awaitable<int> read_schema_version(postgres::connection& connection);

/// Error `conflict`, saying what to do: the schema is missing, older, or newer than `expected`, or the database was
/// restored into another cluster. Throws
/// `postgres::sql_error`.
boost::asio::awaitable<base::result<void>> check_schema(postgres::connection& connection,
                                                        int expected = schema_version);

/// Waits with backoff until the database answers, then checks as above. `away(why)` is called at each try that found no
/// database. Error `cancelled` at a soft stop.
boost::asio::awaitable<base::result<void>> wait_for_schema(postgres::pool& pool, async::stop_token stop,
                                                           std::function<void(const std::string& why)> away);

}  // namespace fleet::quantumflow
