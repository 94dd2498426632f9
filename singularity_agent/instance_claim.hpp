// One process an instance: the claim of this process on being it.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <optional>
#include <string>

#include "common/async/event.hpp"
#include "common/async/stop.hpp"
#include "common/base/ids.hpp"
#include "common/postgres/pool.hpp"
#include "common/quantumflow/waker.hpp"
#include "common/telemetry/health.hpp"
#include "common/telemetry/log.hpp"

namespace fleet::agent {

/// For the loop's thread. The claim lives in the database: it is renewed with each heartbeat, and bound to the
/// listening session, so that it ends with a crash. The condition "instance" of readiness says who has the instance
/// instead.
class instance_claim {
 public:
  struct parts {
    postgres::pool& connections;
    quantumflow::waker& waker;
    base::instance_id self;
    std::string holder;               ///< where this process runs, for whoever is refused
    std::chrono::milliseconds lease;  ///< a claim that was not renewed for so long may be taken
    telemetry::health_state& health;
    telemetry::logger log;
  };
  explicit instance_claim(parts with);

  /// Waits until the instance is this process's. False: a soft stop came first.
  boost::asio::awaitable<bool> acquire(async::stop_token stop);
  /// To be told of each new listening session (`waker`): the claim moves to it.
  void session_changed(bool up) {
    if (up) session_up_.notify();
  }
  /// Moves the claim to each new listening session, until a soft stop. Throws `base::failure` of kind `refused` where
  /// another process has the instance, and what the database throws. Supervise it.
  boost::asio::awaitable<void> follow_session(async::stop_token stop);
  /// Holds it for another lease; who has taken it, if somebody has. Throws `postgres::sql_error`.
  boost::asio::awaitable<std::optional<std::string>> renew(postgres::connection& on);
  /// Gives it free, if it was held, as far as the database can be asked.
  boost::asio::awaitable<void> release();

 private:
  boost::asio::awaitable<std::optional<std::string>> claim(bool listening);

  parts with_;
  std::string run_;
  bool held_ = false;
  async::event session_up_;
};

}  // namespace fleet::agent
