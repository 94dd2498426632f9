// Small helpers between the agent's parts and the database.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <utility>

#include "common/base/error.hpp"
#include "common/postgres/pool.hpp"
#include "common/postgres/transaction.hpp"

namespace fleet::agent {

/// How long a call waits for a connection before it answers that the database is away.
inline constexpr std::chrono::milliseconds connection_wait{3'000};

/// Runs `f(transaction&)` in a transaction on a connection of the pool, commits, and gives its result. Throws
/// `postgres::sql_error`, `base::failure` (`unavailable`: no connection within `limit`) and what `f` throws.
template <class F>
auto transact(postgres::pool& connections, F f, std::chrono::milliseconds limit = connection_wait)
    -> std::invoke_result_t<F&, postgres::transaction&> {
  auto connection = co_await connections.acquire(limit);
  co_return co_await postgres::in_transaction(*connection, std::move(f));
}

/// The value, or its error as an exception: for code inside a transaction, which the exception rolls back.
template <class T>
T value_or_throw(base::result<T> outcome) {
  if (!outcome) throw base::failure(outcome.error());
  if constexpr (!std::is_void_v<T>) return std::move(*outcome);
}

}  // namespace fleet::agent
