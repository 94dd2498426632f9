#include "common/quantumflow/publish.hpp"

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
  const auto rows = co_await connection->query(publish_sql, std::move(arguments));
  co_return base::message_id{rows[0].get<std::int64_t>("message_id")};
}

}  // namespace fleet::quantumflow
