// Waking: sleeps of consumers that end when something is published, by LISTEN and, failing that, by polling.
#pragma once
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "common/async/stop.hpp"
#include "common/postgres/params.hpp"
#include "common/postgres/pool.hpp"
#include "common/postgres/rows.hpp"
#include "common/postgres/settings.hpp"

namespace fleet::quantumflow {

/// One LISTEN connection for all consumers of a daemon. While a worker sleeps, the daemon holds the wake lock of its
/// streams: that is what makes publishers notify (see sql/README.md). Single-threaded: use on one executor.
class waker {
 public:
  /// `on_state(up)`: LISTEN works or does not; while it does not, or `run` was never called, sleeps last at most the
  /// poll interval.
  waker(boost::asio::any_io_executor executor, postgres::settings settings, std::function<void(bool up)> on_state = {});
  ~waker();
  waker(const waker&) = delete;
  waker& operator=(const waker&) = delete;

  /// Keeps the connection until a soft stop; reconnects with backoff. Supervise it like a worker.
  boost::asio::awaitable<void> run(async::stop_token stop);

  /// Proves now and then, until a soft stop, that notifications really come, by one that is sent from this pool, or
  /// that another waker of the database sent: a pooler in between may take a LISTEN and deliver nothing. While they do
  /// not, `listening` is false and sleeps are short.
  boost::asio::awaitable<void> keep_proving(postgres::pool& sender, async::stop_token stop);

  /// Looks every two seconds, with one statement for everybody who sleeps, whether there is something to take: what an
  /// idle process costs the database, instead of each worker's own look. Until a soft stop; failures of the database
  /// are waited out, and while they last, and without this, each sleep ends at its own limit. Supervise it, too.
  /// `turned` is called at each look.
  boost::asio::awaitable<void> poll(postgres::pool& through, async::stop_token stop, std::function<void()> turned = {});

  /// Returns when the group may have something to take on the queue, or after `limit` (30 times that while `poll`
  /// works), or at a soft stop. It looks itself before it sleeps, so a publish that committed before the call is never
  /// slept through; true: that look found something, so there was no sleep.
  boost::asio::awaitable<bool> sleep(std::string queue, std::string group, std::chrono::milliseconds limit,
                                     async::stop_token stop);

  /// Connected, and not proven deaf.
  bool listening() const;
  /// Why it does not listen; empty while it does.
  const std::string& last_error() const;
  /// Runs a statement on the LISTEN connection: for what belongs to a session that lasts. Throws `base::failure` of
  /// kind `unavailable` while there is none, and what the statement throws.
  boost::asio::awaitable<postgres::rows> execute(std::string sql, postgres::params values);

 private:
  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace fleet::quantumflow
