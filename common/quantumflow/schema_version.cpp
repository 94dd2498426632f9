#include "common/quantumflow/schema_version.hpp"

#include <string>
#include <utility>

#include "common/async/backoff.hpp"

namespace fleet::quantumflow {

boost::asio::awaitable<int> read_schema_version(postgres::connection& connection) {
  const auto present =
      co_await connection.query("select to_regproc('quantumflow.schema_version') is not null as present");
  if (!present.single().get<bool>("present")) co_return 0;
  const auto version = co_await connection.query("select quantumflow.schema_version() as version");
  co_return version.single().get<std::int32_t>("version");
}

boost::asio::awaitable<base::result<void>> check_schema(postgres::connection& connection, int expected) {
  const int found = co_await read_schema_version(connection);
  if (found == expected) {
    const auto origin = co_await connection.query("select quantumflow.is_at_home() as at_home");
    if (origin.single().get<bool>("at_home")) co_return base::result<void>();
    co_return base::make_error(
        base::error_kind::conflict,
        "the database was restored from another cluster's dump, and what is pending has no place "
        "in this one yet: run `centralcloud_daemon migrate --rebase`");
  }
  std::string message;
  if (found == 0) {
    message = "the database has no schema yet: run `centralcloud_daemon migrate`";
  } else if (found < expected) {
    message = "the database's schema has version " + std::to_string(found) + ", this build needs " +
              std::to_string(expected) + ": run `centralcloud_daemon migrate`";
  } else {
    message = "the database's schema has version " + std::to_string(found) + ", newer than this build's " +
              std::to_string(expected) + ": install the release that belongs to it";
  }
  co_return base::make_error(base::error_kind::conflict, std::move(message));
}

boost::asio::awaitable<base::result<void>> wait_for_schema(postgres::pool& pool, async::stop_token stop,
                                                           std::function<void(const std::string& why)> away) {
  async::backoff backoff(async::backoff_policy{std::chrono::milliseconds(100), std::chrono::seconds(2), 2.0, 0.2});
  while (!stop.soft_requested()) {
    std::string why;
    try {
      auto lease = co_await pool.acquire();
      auto fits = co_await check_schema(*lease);
      co_return fits;
    } catch (const base::failure& failure) {
      why = failure.what();
    }
    away(why);
    const auto delay = backoff.next(async::random01());
    co_await stop.sleep_for(delay);
  }
  co_return base::make_error(base::error_kind::cancelled, "stopped while waiting for the database");
}

}  // namespace fleet::quantumflow
