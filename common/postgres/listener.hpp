// LISTEN on a connection of its own that comes back by itself.
#pragma once
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/async/backoff.hpp"
#include "common/async/event.hpp"
#include "common/async/stop.hpp"
#include "common/postgres/connection.hpp"

namespace fleet::postgres {

struct listener_timing {
  async::backoff_policy reconnect{std::chrono::milliseconds(100), std::chrono::seconds(2), 2.0, 0.5};
  std::chrono::milliseconds ping_interval{15'000};  ///< of silence, after which the connection is asked for life
  std::chrono::milliseconds ping_timeout{5'000};
  std::chrono::milliseconds pooled_retry{60'000};  ///< after finding a pooler instead of a server
};

/// Notifications sent while the connection is away are lost: whoever depends on them polls when `on_state(true)` comes.
/// Needs a session of its own: where a pooler is between it stays down, says why, and looks again now and then.
class listener {
 public:
  using notify_handler = std::function<void(const std::string& channel, const std::string& payload)>;
  /// True: listening on all channels. False: was, and is not any more, or cannot through this pooler (told each time
  /// that is found; `last_error` says it). Starts as not listening.
  using state_handler = std::function<void(bool up)>;

  listener(boost::asio::any_io_executor executor, settings how, std::vector<std::string> channels,
           notify_handler on_notify, state_handler on_state, listener_timing timing = {});

  /// Until a soft stop; failures of the database are waited out. Handlers run on the executor and must not throw.
  boost::asio::awaitable<void> run(async::stop_token stop);
  /// Runs a statement in the listening session, for what belongs to a session: advisory locks, further LISTENs (gone
  /// with it). In turn; the wait for notifications is interrupted. Throws `sql_error`; `base::failure` of kind
  /// `unavailable` while not listening, or when the session ends before the statement's turn.
  boost::asio::awaitable<rows> execute(std::string sql, params values = {});
  bool up() const { return up_; }
  /// Why the last connection ended or could not be made; empty while all is well.
  const std::string& last_error() const { return last_error_; }

 private:
  struct command {
    std::string sql;
    params values;
    async::event done;
    std::optional<rows> answer;
    std::exception_ptr error;
  };

  /// Returns at a soft stop: false, or at once: true, where a pooler is between.
  boost::asio::awaitable<bool> session(async::stop_token stop);
  boost::asio::awaitable<void> run_commands(connection& on);
  boost::asio::awaitable<void> wait(connection& on, async::stop_token stop);
  void fail_commands();
  void set_up(bool up);
  std::chrono::milliseconds found_pooler();

  boost::asio::any_io_executor executor_;
  settings settings_;
  std::vector<std::string> channels_;
  notify_handler on_notify_;
  state_handler on_state_;
  listener_timing timing_;
  async::backoff backoff_;
  bool up_ = false;
  std::string last_error_;
  std::deque<std::shared_ptr<command>> commands_;
  std::optional<async::stop_source> interrupt_;  ///< of the wait under way
};

}  // namespace fleet::postgres
