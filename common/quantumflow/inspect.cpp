#include "common/quantumflow/inspect.hpp"

namespace fleet::quantumflow {

namespace {

queue_stats read_stats(const postgres::row& row) {
  queue_stats stats;
  stats.queue_name = row.get<std::string>("queue_name");
  stats.audience = row.get<std::string>("audience");
  stats.pending = row.get<std::int64_t>("pending");
  stats.oldest_age_seconds = row.get<double>("oldest_age_seconds");
  stats.retrying = row.get<std::int64_t>("retrying");
  stats.dlq = row.get<std::int64_t>("dlq");
  stats.published_total = row.get<std::int64_t>("published_total");
  stats.consumed_total = row.get<std::int64_t>("consumed_total");
  stats.purged_total = row.get<std::int64_t>("purged_total");
  stats.readers = row.get<std::int64_t>("readers");
  return stats;
}

pending_message read_pending(const postgres::row& row) {
  pending_message message;
  message.id = base::message_id{row.get<std::int64_t>("message_id")};
  message.payload = row.get<boost::json::object>("payload");
  message.enqueued_at = row.get<base::timestamp>("enqueued_at");
  message.attempts = row.get<int>("attempts");
  message.recipient = row.get<std::optional<std::string>>("recipient");
  message.consumer_group = row.get<std::optional<std::string>>("consumer_group");
  message.state = row.get<std::string>("state");
  message.due_at = row.get<std::optional<base::timestamp>>("due_at");
  return message;
}

dead_message read_dead(const postgres::row& row) {
  dead_message message;
  message.id = row.get<std::int64_t>("id");
  message.queue_name = row.get<std::string>("queue_name");
  message.message = base::message_id{row.get<std::int64_t>("message_id")};
  message.payload = row.get<boost::json::object>("payload");
  message.reason = row.get<std::string>("reason");
  message.error = row.get<std::string>("error");
  message.attempts = row.get<int>("attempts");
  message.errors = row.get<boost::json::value>("errors").as_array();
  message.enqueued_at = row.get<base::timestamp>("enqueued_at");
  message.dead_at = row.get<base::timestamp>("dead_at");
  message.recipient = row.get<std::optional<std::string>>("recipient");
  message.consumer_group = row.get<std::string>("consumer_group");
  return message;
}

template <class Item, class Read>
std::vector<Item> read_all(const postgres::rows& rows, Read read) {
  std::vector<Item> items;
  items.reserve(rows.size());
  for (const auto& row : rows) items.push_back(read(row));
  return items;
}

}  // namespace

boost::asio::awaitable<std::vector<queue_stats>> list_queues(postgres::connection& connection) {
  const auto rows = co_await connection.query("select * from quantumflow.list_queues()");
  co_return read_all<queue_stats>(rows, read_stats);
}

boost::asio::awaitable<queue_stats> get_queue_stats(postgres::connection& connection, std::string queue) {
  auto arguments = postgres::make_params(queue);
  const auto rows = co_await connection.query("select * from quantumflow.get_queue_stats($1)", std::move(arguments));
  co_return read_stats(rows[0]);
}

boost::asio::awaitable<std::vector<pending_message>> list_pending_messages(postgres::connection& connection,
                                                                           std::string queue, int max) {
  auto arguments = postgres::make_params(queue, max);
  const auto rows =
      co_await connection.query("select * from quantumflow.list_pending_messages($1, $2)", std::move(arguments));
  co_return read_all<pending_message>(rows, read_pending);
}

boost::asio::awaitable<std::vector<dead_message>> list_dlq_messages(postgres::connection& connection,
                                                                    std::optional<std::string> queue, int max) {
  auto arguments = postgres::make_params(queue, max);
  const auto rows =
      co_await connection.query("select * from quantumflow.list_dlq_messages($1, $2)", std::move(arguments));
  co_return read_all<dead_message>(rows, read_dead);
}

boost::asio::awaitable<base::message_id> retry_dlq_message(postgres::connection& connection, std::int64_t id) {
  auto arguments = postgres::make_params(id);
  const auto rows =
      co_await connection.query("select quantumflow.retry_dlq_message($1) as message_id", std::move(arguments));
  co_return base::message_id{rows[0].get<std::int64_t>("message_id")};
}

boost::asio::awaitable<std::int64_t> purge_dlq(postgres::connection& connection, std::optional<std::string> queue) {
  auto arguments = postgres::make_params(queue);
  const auto rows = co_await connection.query("select quantumflow.purge_dlq($1) as purged", std::move(arguments));
  co_return rows[0].get<std::int64_t>("purged");
}

}  // namespace fleet::quantumflow
