// Protection from a message that ends the process of whoever handles it.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <string>
#include <utility>

#include "common/async/event.hpp"
#include "common/async/stop.hpp"
#include "common/postgres/pool.hpp"

namespace fleet::quantumflow {

/// One a process, shared by its consumers; for one thread. While all goes well it costs two statements a process: one
/// when it begins, one when it ends. Where the last run did not end as it should, consumers handle their next messages
/// one at a time, each noted in a transaction of its own before. A message that was in hand at `crash_limit` crashes
/// becomes a dead letter (`crashed_consumer`).
class crash_guard {
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
    explicit turn(crash_guard* of) : guard_(of) {}
    turn(turn&& other) noexcept : guard_(std::exchange(other.guard_, nullptr)) {}
    turn& operator=(turn&&) = delete;
    ~turn();
    bool held() const { return guard_ != nullptr; }

   private:
    crash_guard* guard_;
  };
  /// Not held where a stop came first.
  boost::asio::awaitable<turn> next_turn(async::stop_token stop);

 private:
  postgres::pool& pool_;
  std::string group_;
  std::string slot_;
  std::int64_t run_;
  bool begun_ = false;
  bool suspicious_ = false;
  bool busy_ = false;
  async::event free_;
};

/// `end`, for a process that stops: where the database is away, the next run is suspicious without need.
boost::asio::awaitable<void> end_in_order(crash_guard& guard);

}  // namespace fleet::quantumflow
