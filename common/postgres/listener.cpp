#include "common/postgres/listener.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

namespace fleet::postgres {

namespace asio = boost::asio;
using std::chrono::milliseconds;

namespace {

std::exception_ptr session_has_ended() {
  auto error = base::make_error(base::error_kind::unavailable, "the listening session has ended");
  return std::make_exception_ptr(base::failure(std::move(error)));
}

}  // namespace

listener::listener(asio::any_io_executor executor, settings how, std::vector<std::string> channels,
                   notify_handler on_notify, state_handler on_state, listener_timing timing)
    : executor_(std::move(executor)),
      settings_(std::move(how)),
      channels_(std::move(channels)),
      on_notify_(std::move(on_notify)),
      on_state_(std::move(on_state)),
      timing_(timing),
      backoff_(timing.reconnect) {}

void listener::set_up(bool up) {
  if (up == up_) return;
  up_ = up;
  if (on_state_) on_state_(up);
}

asio::awaitable<void> listener::run(async::stop_token stop) {
  while (!stop.soft_requested()) {
    bool pooled = false;
    std::exception_ptr other;  // a cancellation, say: the session is gone then, too, and `run` may be called again
    try {
      auto one = session(stop);
      pooled = co_await asio::co_spawn(executor_, std::move(one), asio::use_awaitable);
    } catch (const base::failure& error) {
      last_error_ = error.what();
    } catch (...) {
      other = std::current_exception();
    }
    set_up(false);
    fail_commands();
    if (other) std::rethrow_exception(other);
    const auto pause = pooled ? found_pooler() : backoff_.next(async::random01());
    if (!stop.soft_requested()) co_await stop.sleep_for(pause);
  }
}

milliseconds listener::found_pooler() {
  last_error_ = "a connection pooler is between: LISTEN needs a connection to the server itself";
  if (on_state_) on_state_(false);
  return timing_.pooled_retry;
}

/// One connection, from opening it to its end.
asio::awaitable<bool> listener::session(async::stop_token stop) {
  const auto held = co_await connection::open(settings_);
  if (held->pooled()) co_return true;
  for (const auto& channel : channels_) {
    const std::string sql = "listen " + quote_identifier(channel);
    co_await held->run_script(sql);
  }
  backoff_.reset();
  last_error_.clear();
  set_up(true);
  while (!stop.soft_requested()) {
    co_await run_commands(*held);
    auto arrived = held->take_notifications();
    if (arrived.empty() && commands_.empty()) {
      co_await wait(*held, stop);
      arrived = held->take_notifications();
    }
    for (const auto& one : arrived) {
      if (on_notify_) on_notify_(one.channel, one.payload);
    }
  }
  co_return false;
}

/// Until a notification, a command, or a stop; after a long silence the connection is asked for life.
asio::awaitable<void> listener::wait(connection& on, async::stop_token stop) {
  interrupt_.emplace(executor_);
  const auto token = interrupt_->token();
  const auto chained = stop.on_soft([this] { interrupt_->request_soft(); });
  const bool heard = co_await on.wait_notification(timing_.ping_interval, token);
  // A connection that died without a word looks just like silence.
  if (!heard && !token.soft_requested()) co_await on.query("select 1", params(), timing_.ping_timeout);
}

asio::awaitable<void> listener::run_commands(connection& on) {
  while (!commands_.empty()) {
    const auto next = commands_.front();
    commands_.pop_front();
    std::exception_ptr ended;
    try {
      next->answer = co_await on.query(next->sql, next->values);
    } catch (const base::failure&) {
      next->error = std::current_exception();
      if (!on.usable()) ended = next->error;
    } catch (...) {
      // Whoever asked has not been cancelled, but the session has.
      next->error = session_has_ended();
      ended = std::current_exception();
    }
    next->done.notify_all();
    if (ended) std::rethrow_exception(ended);
  }
}

void listener::fail_commands() {
  for (const auto& each : commands_) {
    each->error = session_has_ended();
    each->done.notify_all();
  }
  commands_.clear();
}

asio::awaitable<rows> listener::execute(std::string sql, params values) {
  if (!up_) {
    auto error = base::make_error(base::error_kind::unavailable, "there is no listening session");
    throw base::failure(std::move(error));
  }
  const auto asked = std::make_shared<command>();
  asked->sql = std::move(sql);
  asked->values = std::move(values);
  commands_.push_back(asked);
  if (interrupt_) interrupt_->request_soft();
  // Every statement of the session has its own deadline; this one only bounds the wait for a turn.
  const auto limit = 4 * (settings_.statement_timeout + settings_.client_grace);
  const bool answered = co_await asked->done.wait_for(limit);
  if (asked->error) std::rethrow_exception(asked->error);
  if (!answered || !asked->answer) {
    auto error = base::make_error(base::error_kind::timeout,
                                  "the listening session did not get to: " + abbreviate_sql(asked->sql));
    throw base::failure(std::move(error));
  }
  co_return *asked->answer;
}

}  // namespace fleet::postgres
