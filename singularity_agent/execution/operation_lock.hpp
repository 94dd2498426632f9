// One operation at a time: a lock that coroutines wait for in order, with a lane that overtakes.
#pragma once
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstddef>
#include <memory>

#include "common/base/error.hpp"

namespace fleet::agent::execution {

enum class lane {
  usual,  ///< first come, first served
  urgent  ///< before everyone in the usual lane; among themselves first come, first served
};

/// Does not interrupt the holder. For one thread. Waiting is bounded by a time-out and by the number of waiters.
class operation_lock {
  struct state;

 public:
  /// Gives the lock up at its end.
  class held {
   public:
    held() = default;
    explicit held(std::shared_ptr<state> of) : state_(std::move(of)) {}
    held(held&&) noexcept = default;
    held& operator=(held&& other) noexcept;
    ~held() { release(); }
    void release();

   private:
    std::shared_ptr<state> state_;
  };

  explicit operation_lock(boost::asio::any_io_executor io, std::size_t max_waiting = 10'000);
  /// Errors: `timeout`, `cancelled`, `unavailable` (too many wait already).
  boost::asio::awaitable<base::result<held>> acquire(lane where, std::chrono::milliseconds timeout);
  std::size_t waiting() const;

 private:
  std::shared_ptr<state> state_;
};

}  // namespace fleet::agent::execution
