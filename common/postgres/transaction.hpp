// A transaction on a connection.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <boost/asio/this_coro.hpp>
#include <chrono>
#include <cstddef>
#include <exception>
#include <functional>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "common/postgres/connection.hpp"

namespace fleet::postgres {

/// Read committed. BEGIN is sent with the first statement, in one round trip; one without statements sends nothing. The
/// connection must outlive it and is not to be used past it meanwhile. Destroying one that was neither committed nor
/// rolled back marks the connection broken, so that a pool drops it.
class transaction {
 public:
  static boost::asio::awaitable<transaction> begin(connection& on);
  transaction(transaction&& other) noexcept
      : on_(std::exchange(other.on_, nullptr)), on_commit_(std::move(other.on_commit_)) {}
  transaction& operator=(transaction&&) = delete;
  ~transaction();

  boost::asio::awaitable<rows> query(std::string sql, params values = {},
                                     std::optional<std::chrono::milliseconds> timeout = {});
  boost::asio::awaitable<void> run_script(std::string sql, std::optional<std::chrono::milliseconds> timeout = {});
  /// Throws `sql_error`: with `outcome_unknown()` where the reply was lost; of kind `conflict` (40000) where the server
  /// rolled back because an earlier statement had failed.
  boost::asio::awaitable<void> commit();
  /// Throws `sql_error` where the connection is lost (the server rolls back then, too).
  boost::asio::awaitable<void> rollback();
  /// `call` is called once this is committed, after those that came before it; never where it is rolled back, also to a
  /// savepoint before this call, or where its outcome is unknown. For what counts and logs; it must not throw.
  void on_commit(std::function<void()> call) { on_commit_.push_back(std::move(call)); }
  /// Neither committed nor rolled back yet.
  bool active() const { return on_ != nullptr; }
  connection& on();

 private:
  template <class F>
  friend auto in_savepoint(transaction& open, F f) -> std::invoke_result_t<F&>;

  explicit transaction(connection& on) : on_(&on) {}
  void committed();
  connection* on_;
  std::vector<std::function<void()>> on_commit_;
};

namespace detail {
template <class T>
struct awaited;
template <class T, class Executor>
struct awaited<boost::asio::awaitable<T, Executor>> {
  using type = T;
};
/// Rolls back where that makes sense; never throws an `sql_error`.
boost::asio::awaitable<void> roll_back_quietly(transaction& open);
}  // namespace detail

/// Begins, runs `f(transaction&)` (which gives an awaitable), commits and gives its result. When it throws: rolls back
/// and throws the same. After a cancellation the connection is dropped instead of being rolled back.
template <class F>
auto in_transaction(connection& on, F f) -> std::invoke_result_t<F&, transaction&> {
  using value_type = typename detail::awaited<std::invoke_result_t<F&, transaction&>>::type;
  transaction open = co_await transaction::begin(on);
  std::conditional_t<std::is_void_v<value_type>, std::optional<bool>, std::optional<value_type>> value;
  std::exception_ptr failure;
  try {
    if constexpr (std::is_void_v<value_type>) {
      co_await f(open);
    } else {
      value.emplace(co_await f(open));
    }
    if (open.active()) co_await open.commit();
  } catch (...) {
    failure = std::current_exception();
  }
  if (failure) {
    const auto cancellation = co_await boost::asio::this_coro::cancellation_state;
    if (cancellation.cancelled() == boost::asio::cancellation_type::none) co_await detail::roll_back_quietly(open);
    std::rethrow_exception(failure);
  }
  if constexpr (!std::is_void_v<value_type>) co_return std::move(*value);
}

/// Runs `f()` (which gives an awaitable) in a savepoint and gives its result. When it throws: rolls back to the
/// savepoint, so that the transaction can go on, and throws the same.
template <class F>
auto in_savepoint(transaction& open, F f) -> std::invoke_result_t<F&> {
  using value_type = typename detail::awaited<std::invoke_result_t<F&>>::type;
  const std::size_t calls_before = open.on_commit_.size();
  co_await open.query("savepoint inner_work");
  std::conditional_t<std::is_void_v<value_type>, std::optional<bool>, std::optional<value_type>> value;
  std::exception_ptr failure;
  try {
    if constexpr (std::is_void_v<value_type>) {
      co_await f();
    } else {
      value.emplace(co_await f());
    }
  } catch (...) {
    failure = std::current_exception();
  }
  if (failure) {
    open.on_commit_.resize(calls_before);
    if (open.on().usable()) co_await open.run_script("rollback to savepoint inner_work; release savepoint inner_work");
    std::rethrow_exception(failure);
  }
  co_await open.query("release savepoint inner_work");
  if constexpr (!std::is_void_v<value_type>) co_return std::move(*value);
}

}  // namespace fleet::postgres
