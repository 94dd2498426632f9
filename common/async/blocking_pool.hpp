// Threads for what can only block (name look-up, files, SQLite) or computes for long, so that the loop's thread never
// does.
#pragma once
#include <atomic>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <cstddef>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

#include "common/async/stop.hpp"

namespace fleet::async {

/// Destroying a pool must happen before the callers' io_context goes: a finished call is
/// handed back to that context. `of` gives a pool that keeps this rule by itself.
class blocking_pool {
 public:
  /// `max_unfinished` bounds the calls that run and wait; one more fails with `unavailable`.
  explicit blocking_pool(std::size_t threads, std::size_t max_unfinished = 256);
  ~blocking_pool();  ///< runs what waits, and waits for all of it
  /// Drops the calls that have not begun; whoever waits for them waits on. For when the context goes.
  void drop_waiting() { threads_.stop(); }
  /// From here on calls that end are told to nobody. True: some run, and the pool must outlive them.
  bool close();
  blocking_pool(const blocking_pool&) = delete;
  blocking_pool& operator=(const blocking_pool&) = delete;

  /// The pool of the executor's io_context (4 threads), made at first use, joined when the context is destroyed.
  static blocking_pool& of(const boost::asio::any_io_executor& executor);
  /// Another one (4 threads), for what may hang for as long as a network is away: name look-ups hold up nothing else.
  /// Not joined: calls that hang when the context is destroyed are left behind.
  static blocking_pool& of_lookups(const boost::asio::any_io_executor& executor);

  /// Runs `f()` on a thread of the pool; its result or exception comes back on the caller's executor.
  template <class F>
  boost::asio::awaitable<std::invoke_result_t<F&>> run(F f);

  /// The same, but gives up waiting after `limit`: an `f` that has not begun by then never does, one that has still
  /// runs to its end, and its result is dropped, together with what `f` holds. Void results come as std::monostate.
  template <class F>
  auto run_for(F f, std::chrono::nanoseconds limit) -> boost::asio::awaitable<std::optional<
      std::conditional_t<std::is_void_v<std::invoke_result_t<F&>>, std::monostate, std::invoke_result_t<F&>>>>;

 private:
  template <class F, class R>
  struct call;
  void take_place();  ///< throws when the pool is full
  /// Outlives the pool where calls do.
  struct ledger {
    std::atomic<std::size_t> unfinished{0};
    std::mutex ending;  ///< held while a call is told to its context
    bool closed = false;
  };
  static void leave_behind(std::shared_ptr<void> what);

  std::size_t max_unfinished_;
  std::shared_ptr<ledger> ledger_;
  boost::asio::thread_pool threads_;
};

/// Runs `f()` on the pool of the caller's context, as `blocking_pool::run`.
template <class F>
boost::asio::awaitable<std::invoke_result_t<F&>> run_blocking(F f) {
  const boost::asio::any_io_executor executor = co_await boost::asio::this_coro::executor;
  auto& pool = blocking_pool::of(executor);
  co_return co_await pool.run(std::move(f));
}

/// One call: shared by the waiting coroutine and the pool's thread, so that either may be the last to leave.
template <class F, class R>
struct blocking_pool::call {
  call(const boost::asio::any_io_executor& executor, F f) : work(std::move(f)), timer(executor) {}

  void execute() {
    try {
      if constexpr (std::is_void_v<std::invoke_result_t<F&>>) {
        work();
        value.emplace();
      } else {
        value.emplace(work());
      }
    } catch (...) {
      failure = std::current_exception();
    }
  }

  F work;
  std::atomic<bool> given_up{false};
  std::optional<R> value;
  std::exception_ptr failure;
  boost::asio::steady_timer timer;  // touched by the loop's thread only
  bool done = false;                // likewise
};

template <class F>
auto blocking_pool::run_for(F f, std::chrono::nanoseconds limit) -> boost::asio::awaitable<std::optional<
    std::conditional_t<std::is_void_v<std::invoke_result_t<F&>>, std::monostate, std::invoke_result_t<F&>>>> {
  using value_type =
      std::conditional_t<std::is_void_v<std::invoke_result_t<F&>>, std::monostate, std::invoke_result_t<F&>>;
  const boost::asio::any_io_executor executor = co_await boost::asio::this_coro::executor;
  auto shared = std::make_shared<call<F, value_type>>(executor, std::move(f));
  shared->timer.expires_after(limit < longest_wait ? limit : std::chrono::nanoseconds(longest_wait));
  take_place();
  boost::asio::post(threads_, [shared, executor, ledger = ledger_]() mutable {
    if (!shared->given_up) shared->execute();
    const std::lock_guard telling(ledger->ending);
    ledger->unfinished.fetch_sub(1);
    if (ledger->closed) {
      leave_behind(std::move(shared));  // its timer belongs to a context that is gone
      return;
    }
    auto finished = [shared]() {
      shared->done = true;
      shared->timer.cancel();
    };
    shared.reset();
    boost::asio::post(executor, std::move(finished));
  });
  while (!shared->done && shared->timer.expiry() > std::chrono::steady_clock::now()) {
    co_await shared->timer.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
  }
  if (!shared->done) {
    shared->given_up = true;
    co_return std::nullopt;
  }
  if (shared->failure) std::rethrow_exception(shared->failure);
  co_return std::move(shared->value);
}

template <class F>
boost::asio::awaitable<std::invoke_result_t<F&>> blocking_pool::run(F f) {
  auto value = co_await run_for(std::move(f), longest_wait);
  if constexpr (!std::is_void_v<std::invoke_result_t<F&>>) co_return std::move(*value);
}

}  // namespace fleet::async
