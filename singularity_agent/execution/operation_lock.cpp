#include "singularity_agent/execution/operation_lock.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <deque>

namespace fleet::agent::execution {

namespace asio = boost::asio;

namespace {

struct waiter {
  asio::steady_timer wake;
  bool granted = false;
};

}  // namespace

struct operation_lock::state {
  asio::any_io_executor io;
  std::size_t max_waiting;
  bool busy = false;
  std::deque<waiter*> urgent;
  std::deque<waiter*> usual;

  void pass_on() {
    auto& from = urgent.empty() ? usual : urgent;
    if (from.empty()) {
      busy = false;
      return;
    }
    auto* next = from.front();
    from.pop_front();
    next->granted = true;
    next->wake.cancel();
  }
};

namespace {

/// Takes the waiter out of its queue however its coroutine ends: also when the io_context is destroyed around it.
template <class State>
struct enlisted {
  std::shared_ptr<State> state;
  std::deque<waiter*>* queue;
  waiter* who;
  ~enlisted() { std::erase(*queue, who); }
};

}  // namespace

operation_lock::held& operation_lock::held::operator=(held&& other) noexcept {
  if (this != &other) {
    release();
    state_ = std::move(other.state_);
  }
  return *this;
}

void operation_lock::held::release() {
  if (auto of = std::move(state_)) of->pass_on();
  state_.reset();
}

operation_lock::operation_lock(asio::any_io_executor io, std::size_t max_waiting) : state_(std::make_shared<state>()) {
  state_->io = std::move(io);
  state_->max_waiting = max_waiting;
}

std::size_t operation_lock::waiting() const {
  return state_->urgent.size() + state_->usual.size();
}

asio::awaitable<base::result<operation_lock::held>> operation_lock::acquire(lane where,
                                                                            std::chrono::milliseconds timeout) {
  auto shared = state_;
  if (!shared->busy) {
    shared->busy = true;
    co_return held(shared);
  }
  if (shared->urgent.size() + shared->usual.size() >= shared->max_waiting)
    co_return base::make_error(base::error_kind::unavailable,
                               fmt::format("{} operations wait already", shared->max_waiting));
  waiter self{asio::steady_timer(shared->io, timeout)};
  auto& queue = where == lane::urgent ? shared->urgent : shared->usual;
  queue.push_back(&self);
  enlisted<state> membership{shared, &queue, &self};
  boost::system::error_code ec;
  co_await self.wake.async_wait(asio::redirect_error(asio::use_awaitable, ec));
  if (self.granted) co_return held(shared);
  if (ec) co_return base::make_error(base::error_kind::cancelled, "stopped while waiting for the operation before it");
  co_return base::make_error(base::error_kind::timeout,
                             fmt::format("the operation before it did not end within {} ms", timeout.count()));
}

}  // namespace fleet::agent::execution
