// Publishing: in the caller's transaction, so that a message exists exactly if the caller's own writes do.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <boost/json/object.hpp>
#include <optional>
#include <string>

#include "common/base/ids.hpp"
#include "common/postgres/pool.hpp"
#include "common/postgres/transaction.hpp"

namespace fleet::quantumflow {

struct publication {
  std::string queue;
  boost::json::object payload;
  std::optional<base::instance_id> recipient = {};  ///< for queues that are addressed to one instance
  /// The payload's ordering key: spares the database reading it from the payload. Must be the same.
  std::optional<std::string> ordering_key = {};
};

/// Publishes as part of `transaction`; the message is there once that commits. Throws `postgres::sql_error`: kind
/// `invalid_input` names the argument (unknown queue, wrong recipient), others mean that the transaction is lost.
boost::asio::awaitable<base::message_id> publish(postgres::transaction& transaction, publication what);

/// Publishes in a transaction of its own. Throws as above; with `outcome_unknown()` the message may be there.
boost::asio::awaitable<base::message_id> publish(postgres::pool& pool, publication what);

}  // namespace fleet::quantumflow
