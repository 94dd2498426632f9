// Takes in what callers of the local API hand over: applied at once, or kept on disk until the database is back.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <boost/json/object.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "common/async/event.hpp"
#include "common/async/stop.hpp"
#include "common/base/ids.hpp"
#include "common/postgres/pool.hpp"
#include "common/quantumflow/spool.hpp"
#include "common/telemetry/episode.hpp"
#include "common/telemetry/log.hpp"
#include "common/telemetry/metrics.hpp"
#include "singularity_agent/database.hpp"
#include "singularity_agent/intake/applier.hpp"

namespace fleet::agent::intake {

struct answer {
  bool spooled = false;
  boost::json::object reply;
};

/// For the loop's thread. Everything passed by reference must outlive it.
class intake {
 public:
  struct parts {
    postgres::pool& connections;
    applier& apply;
    base::instance_id self;
    telemetry::logger log;
    telemetry::metrics& metrics;
    std::chrono::milliseconds until_away = connection_wait;  ///< that long a call waits for the database
  };
  /// `spool`: null where none is configured; then nothing is accepted while the database is away.
  intake(parts with, std::unique_ptr<quantumflow::spool> spool);
  ~intake();

  /// Returns once it is committed, or on the disk of the spool: where the database is away, or does not let this agent
  /// in. Throws `base::failure`: `invalid_input` with every
  /// wrong field; what the database refused; `unavailable` where the spool cannot take it.
  boost::asio::awaitable<answer> take(kind what, boost::json::object body);

  /// Applies what the spool holds, in order, until a soft stop. What is refused is set aside in the spool's quarantine;
  /// while the database is away, or does not let this agent in, everything waits; while too many proposals wait to be
  /// sent, proposals wait and what is behind them goes on; a full disk holds up nothing. Also forgets keys that are
  /// old. `turned` is called at each turn of its loop. Supervise it.
  boost::asio::awaitable<void> replay(async::stop_token stop, std::function<void()> turned = {});
  /// Once more through the spool, after `replay` has ended and nothing comes in any more, until `limit` has passed.
  /// What the database does not take stays on the disk.
  boost::asio::awaitable<void> flush(std::chrono::milliseconds limit);

 private:
  struct item;
  struct figures;
  struct round;
  struct batch;
  boost::asio::awaitable<boost::json::object> apply_at_once(item what, bool& reached);
  boost::asio::awaitable<boost::json::object> apply_in(postgres::transaction& in, const item& what);
  boost::asio::awaitable<void> keep(item what);
  boost::asio::awaitable<void> replay_round(async::stop_token stop, std::function<void()> turned, round& current);
  boost::asio::awaitable<bool> replay_batch(round& current);
  boost::asio::awaitable<void> replay_one(postgres::transaction& in, const quantumflow::spool_entry& entry,
                                          batch& into);
  void applied(const item& what);
  void taken_out(const base::result<void>& done);
  boost::asio::awaitable<void> tidy();
  boost::asio::awaitable<void> forget_old_keys();
  void show();
  void log_accepted(const item& what) const;

  parts with_;
  std::shared_ptr<quantumflow::spool> spool_;  ///< shared with calls on the blocking pool that outlive a coroutine
  std::unique_ptr<figures> figures_;
  telemetry::episode away_;
  telemetry::episode waits_;  ///< what has to do with the spool itself, or with what this agent may
  std::size_t arriving_ = 0;  ///< being written to the spool
  std::size_t at_once_ = 1;   ///< items of the next batch of a replay
  async::event arrived_;
};

}  // namespace fleet::agent::intake
