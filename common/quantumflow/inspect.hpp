// Looking into the queues and settling dead letters: what the command line and the HTTP API of the coordinator show.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <boost/json/object.hpp>
#include <optional>
#include <string>
#include <vector>

#include "common/base/ids.hpp"
#include "common/base/time.hpp"
#include "common/postgres/connection.hpp"

namespace fleet::quantumflow {

struct queue_stats {
  std::string queue_name;
  std::string audience;  ///< lanes, directed, broadcast, directed_or_broadcast
  std::int64_t pending = 0;
  double oldest_age_seconds = 0;
  std::int64_t retrying = 0;
  std::int64_t dlq = 0;
  std::int64_t published_total = 0;
  std::int64_t consumed_total = 0;
  std::int64_t purged_total = 0;
  std::int64_t readers = 0;
};

struct pending_message {
  base::message_id id{};
  boost::json::object payload;
  base::timestamp enqueued_at;
  int attempts = 0;
  std::optional<std::string> recipient;
  std::optional<std::string> consumer_group;
  std::string state;  ///< pending, retrying
  std::optional<base::timestamp> due_at;
};

struct dead_message {
  std::int64_t id = 0;  ///< of the dead letter
  std::string queue_name;
  base::message_id message{};
  boost::json::object payload;
  std::string reason;  ///< retries_exhausted, rejected
  std::string error;   ///< the last one
  int attempts = 0;
  boost::json::array errors;  ///< [{at, error}], oldest first
  base::timestamp enqueued_at;
  base::timestamp dead_at;
  std::optional<std::string> recipient;
  std::string consumer_group;
};

/// All throw `postgres::sql_error`; kind `invalid_input` or `undefined_object` for an unknown queue or dead letter.
boost::asio::awaitable<std::vector<queue_stats>> list_queues(postgres::connection& connection);
boost::asio::awaitable<queue_stats> get_queue_stats(postgres::connection& connection, std::string queue);
boost::asio::awaitable<std::vector<pending_message>> list_pending_messages(postgres::connection& connection,
                                                                           std::string queue, int max = 100);
boost::asio::awaitable<std::vector<dead_message>> list_dlq_messages(postgres::connection& connection,
                                                                    std::optional<std::string> queue, int max = 100);
boost::asio::awaitable<base::message_id> retry_dlq_message(postgres::connection& connection, std::int64_t id);
boost::asio::awaitable<std::int64_t> purge_dlq(postgres::connection& connection, std::optional<std::string> queue);

}  // namespace fleet::quantumflow
