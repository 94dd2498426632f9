// Effects outside the database, so that a handler's "exactly once" reaches as far as it can be made to reach.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <functional>
#include <optional>
#include <string>

#include "common/postgres/pool.hpp"
#include "common/postgres/transaction.hpp"

namespace fleet::quantumflow {

/// One effect: a webhook call, a command, a commit in a repository.
struct effect {
  /// Names it for ever: the message's id and what is done for it, as "proposal 42: webhook". At most 400 characters. An
  /// effect that another system can tell apart by a key (Idempotency-Key) is given this one.
  std::string key;
  /// Whether it has happened, asked after a try whose end nobody knows: its result, or nothing. Leave it empty only for
  /// an effect that does no harm when it is repeated.
  std::function<boost::asio::awaitable<std::optional<std::string>>()> find = {};
  /// Does it; bounded in time, see `perform_once`. Returns what is kept as its result. A throw leaves it open, to be
  /// tried again.
  std::function<boost::asio::awaitable<std::string>()> perform;
};

/// The result of the effect, which is performed unless it is on record, or found to have happened. That a try begins is
/// committed on a connection of its own first; the result is recorded in `transaction`, the one that acknowledges the
/// message. So: handled again after any crash, the effect is not performed again if it was recorded or can be found.
/// The transaction stays open meanwhile: `find` and `perform` together must take less than
/// `postgres::settings::idle_in_transaction_timeout`. Where they take longer the server ends the session, the effect is
/// tried again, and a message that alone does so three times in a row has failed.
/// `connections` needs one for this while the worker holds its own: it is another pool than the workers', or has more
/// connections than workers that use it; else they wait for each other.
/// Throws what `find` and `perform` throw, and `postgres::sql_error`; `base::failure` of kind `unavailable` where no
/// second connection is to be had.
boost::asio::awaitable<std::string> perform_once(postgres::pool& connections, postgres::transaction& transaction,
                                                 effect what);

}  // namespace fleet::quantumflow
