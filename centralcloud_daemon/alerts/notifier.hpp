// The worker of one channel: hands each notice to a command or a webhook, and again where that failed.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <boost/json/object.hpp>
#include <chrono>
#include <functional>
#include <string>

#include "common/async/event.hpp"
#include "common/async/stop.hpp"
#include "common/base/error.hpp"
#include "common/postgres/pool.hpp"
#include "common/telemetry/log.hpp"
#include "common/telemetry/metrics.hpp"

namespace fleet::central::alerts {

struct channel_settings {
  std::string command;      ///< for /bin/sh; empty: none
  std::string webhook_url;  ///< empty: none
  std::chrono::milliseconds timeout{10'000};
};

/// A way to people. For the loop's thread.
struct channel {
  std::string name;  ///< command, webhook
  /// Delivers one notice. Error: why not; it is tried again.
  std::function<boost::asio::awaitable<base::result<void>>(boost::json::object notice, async::stop_token stop)> deliver;
  std::function<bool()> configured;
  std::function<std::chrono::milliseconds()> timeout;
};
/// The notice as one line of JSON on the command's standard input: nothing of it is ever part of a command line.
channel command_channel(const channel_settings& settings);
channel webhook_channel(const channel_settings& settings);

/// At least once, one at a time; what fails is tried again with growing pauses, ten times at most.
class notifier {
 public:
  /// All must outlive the notifier.
  notifier(postgres::pool& pool, channel way, telemetry::logger log, telemetry::metrics& metrics);

  /// Until a soft stop; `turned` is called at each turn of its loop. Throws `base::failure` when the database fails:
  /// the supervisor starts it again.
  boost::asio::awaitable<void> run(async::stop_token stop, std::function<void()> turned = {});
  /// False: there was nothing to deliver.
  boost::asio::awaitable<bool> deliver_next(async::stop_token stop);
  void wake() { woken_.notify(); }

 private:
  postgres::pool& pool_;
  channel way_;
  telemetry::logger log_;
  telemetry::metrics& metrics_;
  async::event woken_;
};

}  // namespace fleet::central::alerts
