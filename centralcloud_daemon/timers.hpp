// The worker of everything that time brings: deadlines of votes, ends of observation windows, silent changes.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <functional>
#include <optional>

#include "centralcloud_daemon/consensus/engine.hpp"
#include "centralcloud_daemon/guardian/watch.hpp"
#include "common/async/event.hpp"
#include "common/async/stop.hpp"
#include "common/postgres/pool.hpp"

namespace fleet::central {

/// For the loop's thread. What is due is taken one row a transaction, and rows in others' hands are passed over, so any
/// number of coordinators share the work and none does it twice. Silence is judged only by timers that have had the
/// database for as long without a break: instances keep their samples in it, so while it is away all of them are
/// silent.
class timers {
 public:
  /// All must outlive the timers.
  timers(postgres::pool& pool, consensus::engine& votes, guardian::watch& changes,
         const guardian::watch_settings& settings)
      : pool_(pool), votes_(votes), changes_(changes), settings_(settings) {}

  /// Until a soft stop. Throws `base::failure` when the database fails: the supervisor starts it again.
  /// `turned` is called each time its loop turns.
  boost::asio::awaitable<void> run(async::stop_token stop, std::function<void()> turned = {});
  /// Looks again now: something with a near deadline was written.
  void wake() { woken_.notify(); }

 private:
  boost::asio::awaitable<std::chrono::milliseconds> pass(postgres::connection& connection, async::stop_token stop);
  boost::asio::awaitable<bool> work_once(postgres::connection& connection);
  void note_answer();

  postgres::pool& pool_;
  consensus::engine& votes_;
  guardian::watch& changes_;
  const guardian::watch_settings& settings_;
  async::event woken_;
  std::optional<std::chrono::steady_clock::time_point> last_answer_;  ///< of the database, in this run
  std::chrono::steady_clock::time_point there_since_{};               ///< it has answered without a break
};

}  // namespace fleet::central
