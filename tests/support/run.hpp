// Running coroutines from a test case, with a bound.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <cstdlib>
#include <exception>
#include <functional>
#include <optional>
#include <stdexcept>
#include <type_traits>

namespace fleet::test {

/// Waiting bounds are multiplied by this: more than 1 under sanitizers (FLEET_TEST_PATIENCE).
inline int patience() {
  const char* text = std::getenv("FLEET_TEST_PATIENCE");
  const int value = text == nullptr ? 1 : std::atoi(text);
  return value < 1 ? 1 : value;
}

namespace detail {

/// Keeps the result, so that the type needs no default value.
template <class T>
boost::asio::awaitable<void> keep_result(boost::asio::awaitable<T> work, std::optional<T>& result) {
  result.emplace(co_await std::move(work));
}

inline void run_void(boost::asio::io_context& io, boost::asio::awaitable<void> work, std::chrono::milliseconds limit) {
  std::exception_ptr thrown;
  bool ended = false;
  boost::asio::co_spawn(io, std::move(work), [&](std::exception_ptr e) { thrown = e, ended = true; });
  const auto deadline = std::chrono::steady_clock::now() + limit * patience();
  io.restart();
  while (!ended && std::chrono::steady_clock::now() < deadline) io.run_one_until(deadline);
  if (!ended) throw std::runtime_error("the coroutine did not end within the test's limit");
  if (thrown) std::rethrow_exception(thrown);
}

}  // namespace detail

/// Runs the loop until the coroutine ends, and gives its result or throws what it threw. Other work on the loop goes on
/// meanwhile. Throws when `limit` passes first.
template <class T>
T run(boost::asio::io_context& io, boost::asio::awaitable<T> work,
      std::chrono::milliseconds limit = std::chrono::seconds(20)) {
  if constexpr (std::is_void_v<T>) {
    detail::run_void(io, std::move(work), limit);
  } else {
    std::optional<T> result;
    detail::run_void(io, detail::keep_result(std::move(work), result), limit);
    return std::move(*result);
  }
}

/// Runs the loop until the condition holds; false when `limit` passes first.
inline bool run_until(boost::asio::io_context& io, const std::function<bool()>& condition,
                      std::chrono::milliseconds limit = std::chrono::seconds(20)) {
  const auto deadline = std::chrono::steady_clock::now() + limit * patience();
  io.restart();
  while (!condition()) {
    if (std::chrono::steady_clock::now() >= deadline) return false;
    io.run_one_for(std::chrono::milliseconds(20));
    if (io.stopped()) io.restart();
  }
  return true;
}

}  // namespace fleet::test
