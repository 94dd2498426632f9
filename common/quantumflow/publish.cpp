#include "common/quantumflow/publish.hpp"

#include <optional>

#include "common/postgres/error.hpp"

namespace fleet::quantumflow {

namespace {

constexpr auto publish_sql = "select quantumflow.publish($1, $2, $3, $4) as message_id";

postgres::params arguments_of(const publication& what) {
  std::optional<std::string> recipient;
  if (what.recipient) recipient = what.recipient->str();
  return postgres::make_params(what.queue, what.payload, recipient, what.ordering_key);
}

}  // namespace

boost::asio::awaitable<base::message_id> publish(postgres::transaction& transaction, publication what) {
  auto arguments = arguments_of(what);
  const auto rows = co_await transaction.query(publish_sql, std::move(arguments));
  co_return base::message_id{rows[0].get<std::int64_t>("message_id")};
}

boost::asio::awaitable<base::message_id> publish(postgres::pool& pool, publication what) {
  auto connection = co_await pool.acquire();
  auto arguments = arguments_of(what);
  // One statement is a transaction of its own.
  std::optional<postgres::sql_error_parts> unanswered;
  try {
    const auto rows = co_await connection->query(publish_sql, std::move(arguments));
    co_return base::message_id{rows[0].get<std::int64_t>("message_id")};
  } catch (const postgres::sql_error& error) {
    const bool lost =
        error.kind() == postgres::sql_kind::connection_lost || error.kind() == postgres::sql_kind::timeout;
    if (!lost || !error.sqlstate().empty()) throw;
    unanswered = error.parts();
  }
  unanswered->outcome_unknown = true;  // and committed, perhaps
  throw postgres::sql_error(std::move(*unanswered));
}

}  // namespace fleet::quantumflow
