// A bounded set of connections that coroutines borrow.
#pragma once
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "common/postgres/connection.hpp"

namespace fleet::postgres {

struct pool_stats {
  std::size_t max_size = 0;
  std::size_t open = 0;  ///< idle and borrowed
  std::size_t idle = 0;
  std::size_t opening = 0;
  std::size_t waiting = 0;  ///< coroutines in `acquire`
  std::uint64_t acquired_total = 0;
  std::uint64_t opened_total = 0;
  std::uint64_t dropped_total = 0;  ///< broken, or given back inside a transaction
  std::uint64_t connect_failures_total = 0;
  std::string last_connect_error;  ///< empty since the last success
};

namespace detail {
struct pool_state;
}

/// A borrowed connection: given back when destroyed; dropped then if it is not usable or inside a transaction. May
/// outlive the pool.
class lease {
 public:
  lease() = default;
  lease(std::shared_ptr<detail::pool_state> from, std::unique_ptr<connection> what);
  lease(lease&&) noexcept;
  lease& operator=(lease&&) noexcept;
  ~lease();
  connection& operator*() const { return *connection_; }
  connection* operator->() const { return connection_.get(); }
  explicit operator bool() const { return connection_ != nullptr; }
  /// Gives it back now.
  void release();

 private:
  std::shared_ptr<detail::pool_state> state_;
  std::unique_ptr<connection> connection_;
};

/// For one thread. Connections are opened when they are needed. While the database cannot be reached, one attempt at a
/// time is made, with backoff, and only as long as somebody waits.
class pool {
 public:
  pool(boost::asio::any_io_executor executor, settings how, std::size_t max_size);
  ~pool();
  pool(const pool&) = delete;
  pool& operator=(const pool&) = delete;

  /// First come, first served. Throws `sql_error`: of kind `connection_lost` when the time is over (with the last
  /// connection error, if there is one), at once where trying again cannot help (password, no such database).
  boost::asio::awaitable<lease> acquire(std::chrono::milliseconds limit = std::chrono::milliseconds(5'000));
  /// Closes connections that were idle for at least `unused_for`; returns how many.
  std::size_t idle_trim(std::chrono::milliseconds unused_for);
  pool_stats stats() const;
  /// As far as is known: the last thing seen was a connection that was opened, or given back in order, and not an
  /// attempt that failed; and nobody waits for one.
  bool available() const;
  /// More at most, or fewer: what is open beyond that is closed when it is idle.
  void set_max_size(std::size_t max_size);

 private:
  std::shared_ptr<detail::pool_state> state_;
};

}  // namespace fleet::postgres
