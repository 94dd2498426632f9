#include "common/async/event.hpp"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <list>

namespace fleet::async {

namespace asio = boost::asio;

struct event::state {
  std::list<waiter*> waiters;
  bool pending = false;

  void notify();
};

/// Lives in the frame of `wait_for`. When that frame goes with a notification it never acted on (cancelled in between),
/// the notification passes to the next one.
struct event::waiter {
  waiter(std::shared_ptr<state> of, const asio::any_io_executor& executor) : owner(std::move(of)), timer(executor) {
    owner->waiters.push_back(this);
  }
  waiter(const waiter&) = delete;
  waiter& operator=(const waiter&) = delete;
  ~waiter() {
    owner->waiters.remove(this);
    if (notified && !used) owner->notify();
  }

  std::shared_ptr<state> owner;
  asio::steady_timer timer;
  bool notified = false;
  bool used = false;
};

void event::state::notify() {
  if (waiters.empty()) {
    pending = true;
    return;
  }
  waiter* first = waiters.front();
  waiters.pop_front();
  first->notified = true;
  first->timer.cancel();
}

event::event() : state_(std::make_shared<state>()) {}
event::~event() = default;

void event::notify() {
  state_->notify();
}

void event::notify_all() {
  if (state_->waiters.empty()) state_->pending = true;
  while (!state_->waiters.empty()) state_->notify();
}

void event::reset() {
  state_->pending = false;
}

std::size_t event::waiting() const {
  return state_->waiters.size();
}

asio::awaitable<bool> event::wait_for(std::chrono::nanoseconds duration, stop_token stop) {
  const auto owner = state_;
  if (owner->pending) {
    owner->pending = false;
    co_return true;
  }
  if (stop.soft_requested()) co_return false;
  waiter self(owner, co_await asio::this_coro::executor);
  self.timer.expires_after(std::min(duration, std::chrono::nanoseconds(longest_wait)));
  const subscription wake = stop.on_soft([&self] { self.timer.cancel(); });
  while (!self.notified && !stop.soft_requested() && self.timer.expiry() > std::chrono::steady_clock::now()) {
    co_await self.timer.async_wait(asio::as_tuple(asio::use_awaitable));
  }
  self.used = self.notified;
  co_return self.used;
}

}  // namespace fleet::async
