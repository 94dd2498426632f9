// Protection from a message that ends the process of whoever handles it.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "common/async/stop.hpp"
#include "common/postgres/pool.hpp"

namespace fleet::quantumflow {

/// One a process, shared by its consumers; for one thread. While all goes well it costs two statements a process: one
/// when it begins, one when it ends. Where the last run did not end as it should, consumers handle their next messages
/// one at a time, each noted in a transaction of its own before. A message that was in hand at `crash_limit` crashes
/// becomes a dead letter (`crashed_consumer`).
class crash_guard {
 private:
  struct line;  ///< who has the turn, and who waits for it

 public:
  static constexpr int crash_limit = 3;

  /// `slot`: what only one process of the group can be at a time, and is again after a crash: an instance, a host and
  /// port.
  crash_guard(postgres::pool& pool, std::string group, std::string slot);

  /// Before consumers run. True: the last run crashed. Throws `postgres::sql_error`, as `end`.
  boost::asio::awaitable<bool> begin();
  /// After all consumers have ended in good order. Does nothing where it never began.
  boost::asio::awaitable<void> end();

  bool suspicious() const { return suspicious_; }
  std::int64_t run() const { return run_; }

  /// The right to handle a message while all are suspects: so that one message only is in hand at a crash.
  class turn {
   public:
    turn(turn&&) noexcept = default;  // the other holds nothing then
    turn& operator=(turn&&) = delete;
    ~turn();
    bool held() const { return line_ != nullptr; }

   private:
    friend class crash_guard;
    explicit turn(std::shared_ptr<line> of) : line_(std::move(of)) {}
    std::shared_ptr<line> line_;
  };
  /// First come, first served. Not held where a stop came first. `waiting` is called at least every second until then.
  boost::asio::awaitable<turn> next_turn(async::stop_token stop, std::function<void()> waiting = {});

 private:
  postgres::pool& pool_;
  std::string group_;
  std::string slot_;
  std::int64_t run_;
  bool begun_ = false;
  bool suspicious_ = false;
  std::shared_ptr<line> line_;  ///< a coroutine that goes with its loop may outlive the guard
};

/// `end`, for a process that stops: where the database is away, the next run is suspicious without need.
boost::asio::awaitable<void> end_in_order(crash_guard& guard);

}  // namespace fleet::quantumflow
