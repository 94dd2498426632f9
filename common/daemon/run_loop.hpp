// The main loop of a daemon: signals, stop, grace time, watchdog, exit code.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "common/async/stop.hpp"
#include "common/telemetry/log.hpp"

namespace fleet::daemon {

struct run_options {
  telemetry::logger log = telemetry::logger::none();
  std::chrono::milliseconds stop_grace{10'000};  ///< from the soft stop to the hard one
  std::chrono::milliseconds hard_limit{2'000};   ///< from the hard stop to leaving whatever still runs
  /// Ends the process where something does not end by itself; replaced in tests.
  std::function<void(int exit_code)> leave = {};
};

/// What the main coroutine works with; lives as long as the loop.
class loop {
 public:
  explicit loop(run_options options);
  ~loop();
  loop(const loop&) = delete;
  loop& operator=(const loop&) = delete;

  boost::asio::io_context& io() { return io_; }
  boost::asio::any_io_executor executor() { return io_.get_executor(); }
  async::stop_token stop_token() const;
  /// Called for SIGHUP, between "reloading" and "ready"; a throw is logged and changes nothing.
  void on_reload(std::function<void()> call);
  /// What hangs, in a sentence: while there is something, the watchdog is not fed, and the service manager will end the
  /// process and start it again.
  void watch(std::function<std::optional<std::string>()> stuck);
  /// Tells the service manager that all is up.
  void ready(const std::string& status = {});
  /// Asks for a soft stop; the process will exit with `exit_code`. The first non-zero code stays.
  void request_stop(const std::string& reason, int exit_code = 0);

  /// Runs `main` until it returns: its exit code is 0, or what `request_stop` said, or 1 when it threw (logged) or had
  /// to be left behind. First SIGTERM or SIGINT: soft stop, and a hard one after `stop_grace`; second: hard at once.
  int run(std::function<boost::asio::awaitable<void>(loop&)> main);

 private:
  struct state;
  boost::asio::io_context io_;
  std::unique_ptr<state> state_;
};

/// `loop(options).run(main)`.
int run_loop(run_options options, std::function<boost::asio::awaitable<void>(loop&)> main);

}  // namespace fleet::daemon
