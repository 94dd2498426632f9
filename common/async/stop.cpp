#include "common/async/stop.hpp"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

namespace fleet::async {

namespace asio = boost::asio;

void detail::stop_level::request() {
  requested = true;
  // One at a time, so that a callback may drop the subscriptions of others.
  while (!callbacks.empty()) {
    auto first = callbacks.extract(callbacks.begin());
    if (first.mapped()) first.mapped()();
  }
}

subscription::subscription(std::weak_ptr<detail::stop_state> state, detail::stop_level detail::stop_state::*level,
                           std::uint64_t id)
    : state_(std::move(state)), level_(level), id_(id) {}

subscription::subscription(subscription&& other) noexcept
    : state_(std::exchange(other.state_, {})), level_(other.level_), id_(other.id_) {}

subscription& subscription::operator=(subscription&& other) noexcept {
  if (this != &other) {
    reset();
    state_ = std::exchange(other.state_, {});
    level_ = other.level_;
    id_ = other.id_;
  }
  return *this;
}

subscription::~subscription() {
  reset();
}

void subscription::reset() {
  if (const auto state = state_.lock()) ((*state).*level_).callbacks.erase(id_);
  state_.reset();
}

asio::awaitable<bool> stop_token::sleep_for(std::chrono::nanoseconds duration) const {
  // The token may be a temporary that is gone before the wait ends.
  const stop_token self = *this;
  if (self.soft_requested()) co_return false;
  asio::steady_timer timer(co_await asio::this_coro::executor);
  timer.expires_after(std::min(duration, std::chrono::nanoseconds(longest_wait)));
  const subscription wake = self.on_soft([&timer] { timer.cancel(); });
  while (!self.soft_requested() && timer.expiry() > std::chrono::steady_clock::now()) {
    co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
  }
  co_return !self.soft_requested();
}

subscription stop_token::subscribe(detail::stop_level detail::stop_state::*level, std::function<void()> call) const {
  if (!state_) return {};
  auto& at = (*state_).*level;
  if (at.requested) {
    call();
    return {};
  }
  const auto id = at.next_id++;
  at.callbacks.emplace(id, std::move(call));
  return {state_, level, id};
}

subscription stop_token::on_soft(std::function<void()> call) const {
  return subscribe(&detail::stop_state::soft, std::move(call));
}

subscription stop_token::on_hard(std::function<void()> call) const {
  return subscribe(&detail::stop_state::hard, std::move(call));
}

stop_source::stop_source(asio::any_io_executor executor) : state_(std::make_shared<detail::stop_state>()) {
  state_->executor = std::move(executor);
}

void stop_source::request_soft() {
  const auto state = state_;
  state->soft.request();
}

void stop_source::request_hard() {
  const auto state = state_;
  state->soft.request();
  state->hard.request();
}

}  // namespace fleet::async
