#include "common/daemon/run_loop.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <csignal>
#include <cstdlib>

#include "common/base/error.hpp"
#include "common/daemon/service_manager.hpp"

namespace fleet::daemon {

namespace asio = boost::asio;
using boost::system::error_code;

/// All handlers run on the loop's thread and hold the raw pointer: the loop outlives its io_context's last handler.
struct loop::state {
  state(run_options chosen, asio::io_context& runs_on)
      : options(std::move(chosen)),
        io(runs_on),
        stop(runs_on.get_executor()),
        signals(runs_on),
        grace(runs_on),
        limit(runs_on) {}

  void watch_signals();
  void handle_signal(int number);
  void soft(const std::string& reason);
  void hard(const std::string& reason);
  void reload();
  void start_watchdog();
  bool moves();
  void finish(std::exception_ptr thrown);

  run_options options;
  asio::io_context& io;
  async::stop_source stop;
  asio::signal_set signals;
  bool has_run = false;
  asio::steady_timer grace;
  asio::steady_timer limit;
  asio::cancellation_signal watchdog;
  std::function<void()> on_reload;
  std::function<std::optional<std::string>()> stuck;
  bool told_stuck = false;
  int exit_code = 0;
  bool left_behind = false;
};

void loop::state::watch_signals() {
  signals.async_wait([this](error_code ec, int number) {
    if (ec) return;
    handle_signal(number);
    watch_signals();
  });
}

void loop::state::handle_signal(int number) {
  if (number == SIGHUP) return reload();
  const std::string name = number == SIGINT ? "SIGINT" : "SIGTERM";
  if (stop.token().soft_requested()) return hard("a second " + name);
  soft(name);
}

void loop::state::soft(const std::string& reason) {
  if (stop.token().soft_requested()) return;
  options.log.info("stopping", "finishing what is under way", {{"cause", reason}});
  notify_stopping();
  grace.expires_after(options.stop_grace);
  grace.async_wait([this](error_code ec) {
    if (!ec) hard("the grace time is over");
  });
  stop.request_soft();
}

void loop::state::hard(const std::string& reason) {
  if (stop.token().hard_requested()) return;
  options.log.warning("stopping_now", "leaving what is under way", {{"cause", reason}});
  exit_code = exit_code == 0 ? 1 : exit_code;
  limit.expires_after(options.hard_limit);
  limit.async_wait([this](error_code ec) {
    if (ec) return;
    options.log.error("stop_failed", "something did not end after the hard stop");
    left_behind = true;
    io.stop();
  });
  stop.request_hard();
}

void loop::state::reload() {
  notify_reloading();
  options.log.info("reloading", "SIGHUP");
  try {
    if (on_reload) on_reload();
  } catch (const std::exception& failed) {
    options.log.error("reload_failed", failed.what());
  }
  notify_ready();
}

void loop::state::start_watchdog() {
  const auto interval = watchdog_interval();
  if (!interval) return;
  const auto ended = [](std::exception_ptr) {};
  asio::co_spawn(io, feed_watchdog(*interval, [this] { return moves(); }),
                 asio::bind_cancellation_slot(watchdog.slot(), ended));
}

/// A stop has bounds of its own.
bool loop::state::moves() {
  if (!stuck || stop.token().soft_requested()) return true;
  const auto what = stuck();
  if (what && !told_stuck) options.log.error("stuck", *what, {{"watchdog", "not fed any more"}});
  told_stuck = what.has_value();
  return !what;
}

void loop::state::finish(std::exception_ptr thrown) {
  if (thrown) {
    std::string reason = "an exception of unknown type";
    try {
      std::rethrow_exception(thrown);
    } catch (const std::exception& failed) {
      reason = failed.what();
    } catch (...) {  // NOLINT(bugprone-empty-catch): the reason says it
    }
    if (!stop.token().hard_requested()) options.log.error("failed", reason);
    if (exit_code == 0) exit_code = 1;
  }
  // What main left running ends now: nothing may outlive it.
  stop.request_soft();
  stop.request_hard();
  signals.cancel();
  grace.cancel();
  limit.cancel();
  watchdog.emit(asio::cancellation_type::terminal);
  io.stop();
}

loop::loop(run_options options) : io_(1), state_(std::make_unique<state>(std::move(options), io_)) {}
loop::~loop() {
  const bool has_run = state_->has_run;
  state_.reset();
  if (!has_run) return;
  // The process is leaving, as it was asked to: a signal that comes now must not end it as if it had crashed.
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) ::signal(number, SIG_IGN);  // NOLINT(cert-err33-c)
}

async::stop_token loop::stop_token() const {
  return state_->stop.token();
}
void loop::on_reload(std::function<void()> call) {
  state_->on_reload = std::move(call);
}
void loop::watch(std::function<std::optional<std::string>()> stuck) {
  state_->stuck = std::move(stuck);
}
void loop::ready(const std::string& status) {
  notify_ready(status);
}

void loop::request_stop(const std::string& reason, int exit_code) {
  if (state_->exit_code == 0) state_->exit_code = exit_code;
  state_->soft(reason);
}

int loop::run(std::function<asio::awaitable<void>(loop&)> main) {
  auto& inside = *state_;
  inside.has_run = true;
  inside.signals.add(SIGTERM);
  inside.signals.add(SIGINT);
  inside.signals.add(SIGHUP);
  ::signal(SIGPIPE, SIG_IGN);  // NOLINT(cert-err33-c): a peer that hangs up is an error code, not the end
  inside.watch_signals();
  inside.start_watchdog();
  const auto done = [&inside](std::exception_ptr thrown) { inside.finish(thrown); };
  asio::co_spawn(io_, main(*this), done);
  io_.run();
  if (inside.left_behind) {
    // Frames that did not end may refer to each other in any order: taking them apart is riskier than leaving.
    if (inside.options.leave) {
      inside.options.leave(inside.exit_code);
    } else {
      std::_Exit(inside.exit_code);
    }
  }
  return inside.exit_code;
}

int run_loop(run_options options, std::function<asio::awaitable<void>(loop&)> main) {
  loop runs(std::move(options));
  return runs.run(std::move(main));
}

}  // namespace fleet::daemon
