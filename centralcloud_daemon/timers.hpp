// The worker of everything that time brings: deadlines of votes, ends of observation windows, silent changes, new
// instances.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <exception>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "centralcloud_daemon/consensus/engine.hpp"
#include "centralcloud_daemon/guardian/watch.hpp"
#include "common/async/event.hpp"
#include "common/async/stop.hpp"
#include "common/postgres/pool.hpp"
#include "common/telemetry/log.hpp"
#include "common/telemetry/metrics.hpp"

namespace fleet::central {

/// For the loop's thread. What is due is taken one row a transaction, and rows in others' hands are passed over, so any
/// number of coordinators share the work and none does it twice. Silence is judged only by timers that have had the
/// database for as long without a break: instances keep their samples in it, so while it is away all of them are
/// silent. A row that fails is logged, counted and passed over for a while, so that it holds up no other.
class timers {
 public:
  /// All must outlive the timers.
  timers(postgres::pool& pool, consensus::engine& votes, guardian::watch& changes,
         const guardian::watch_settings& settings, telemetry::logger log, telemetry::metrics& metrics)
      : pool_(pool), votes_(votes), changes_(changes), settings_(settings), log_(std::move(log)), metrics_(metrics) {}

  /// Until a soft stop. Throws `base::failure` when the database fails: the supervisor starts it again.
  /// `turned` is called each time its loop turns.
  boost::asio::awaitable<void> run(async::stop_token stop, std::function<void()> turned = {});
  /// Looks again now: something with a near deadline was written.
  void wake() { woken_.notify(); }

 private:
  boost::asio::awaitable<std::chrono::milliseconds> pass(postgres::connection& connection, async::stop_token stop);
  boost::asio::awaitable<bool> work_once(postgres::connection& connection);
  enum class kind { open, decide, confirm, silence, tell };
  /// One piece of that kind; false: none is due. Throws where the database fails.
  boost::asio::awaitable<bool> one(postgres::connection& connection, kind what);
  boost::asio::awaitable<bool> begin(postgres::transaction& open, kind what, timed_piece& piece);
  /// Nothing where the whole kind is passed over.
  std::optional<timed_piece> piece_of(kind what);
  void note_failure(kind what, const timed_piece& piece, const std::exception_ptr& failure);
  void note_answer();

  postgres::pool& pool_;
  consensus::engine& votes_;
  guardian::watch& changes_;
  const guardian::watch_settings& settings_;
  async::event woken_;
  std::optional<std::chrono::steady_clock::time_point> last_answer_;  ///< of the database, in this run
  std::chrono::steady_clock::time_point there_since_{};               ///< it has answered without a break

  struct failed_piece {
    kind what;
    std::string proposal;  ///< empty where none was taken yet: the whole kind is passed over
    std::chrono::steady_clock::time_point until;
  };
  std::vector<failed_piece> failed_;
  telemetry::logger log_;
  telemetry::metrics& metrics_;
};

}  // namespace fleet::central
