// Publishing many messages from many coroutines: what arrives while one flush is under way leaves with the next.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "common/async/event.hpp"
#include "common/async/stop.hpp"
#include "common/base/ids.hpp"
#include "common/postgres/pool.hpp"
#include "common/quantumflow/publish.hpp"

namespace fleet::quantumflow {

struct publisher_options {
  /// Names this publisher's numbered publications in the database, at most 150 characters. Each object adds a random
  /// part: its numbers begin anew, and those of an earlier one must not be taken for its own.
  std::string producer = {};
  std::size_t max_batch = 1000;      ///< messages in one flush
  std::size_t max_waiting = 10'000;  ///< messages not yet committed; more are refused
  /// How long `publish` waits for the commit, over reconnects.
  std::chrono::milliseconds patience{10'000};
};

/// Coalesces concurrent publishes into one statement and one commit. Every flush carries a number that the database
/// keeps, so that repeating one after a COMMIT whose reply was lost publishes nothing twice. Per queue, messages are
/// published in the order of the calls. For one thread.
class publisher {
 public:
  /// The pool must outlive the publisher.
  explicit publisher(postgres::pool& connections, publisher_options options = {});
  ~publisher();
  publisher(const publisher&) = delete;
  publisher& operator=(const publisher&) = delete;

  /// Sends what is published, until a soft stop; then what still waits, and returns. Supervise it like a worker.
  boost::asio::awaitable<void> run(async::stop_token stop);

  /// Returns the message's id once it is committed. Throws `base::failure`: `invalid_input` names the argument;
  /// `unavailable`: refused or not committed; `timeout`: it may still be committed. The id is 0 in the one case that a
  /// repeated flush was found committed and its ids were replaced since.
  boost::asio::awaitable<base::message_id> publish(publication what);

  std::size_t waiting() const { return waiting_.size(); }
  std::uint64_t flushes_total() const { return flushes_; }

 private:
  struct entry;
  struct group;
  using batch = std::vector<std::shared_ptr<entry>>;

  boost::asio::awaitable<void> flush(batch entries, async::stop_token stop);
  boost::asio::awaitable<void> send(std::vector<group> groups, bool& sent);
  std::vector<group> numbered(const batch& entries);

  postgres::pool& pool_;
  publisher_options options_;
  std::int64_t sequence_ = 0;
  std::uint64_t flushes_ = 0;
  bool closed_ = false;
  std::deque<std::shared_ptr<entry>> waiting_;
  async::event arrived_;
};

}  // namespace fleet::quantumflow
