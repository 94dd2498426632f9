#include "common/postgres/pool.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <deque>
#include <exception>
#include <list>
#include <optional>
#include <utility>

#include "common/async/backoff.hpp"
#include "common/async/event.hpp"

namespace fleet::postgres {

namespace asio = boost::asio;
using steady = std::chrono::steady_clock;

namespace detail {

/// One coroutine in `acquire`. Lives in its frame.
struct waiter {
  async::event woken;
  std::unique_ptr<connection> granted;
  std::exception_ptr failure;
};

struct idle_connection {
  std::unique_ptr<connection> held;
  steady::time_point since;
};

struct pool_state : std::enable_shared_from_this<pool_state> {
  pool_state(asio::any_io_executor executor_of, settings settings_of, std::size_t max)
      : executor(std::move(executor_of)), how(std::move(settings_of)) {
    numbers.max_size = std::max<std::size_t>(1, max);
  }

  std::unique_ptr<connection> take_idle();
  void give_back(std::unique_ptr<connection> returned);
  void offer(std::unique_ptr<connection> good);
  void grow();
  asio::awaitable<void> open_one();
  asio::awaitable<bool> attempt();
  void fail_waiters(const std::exception_ptr& failure);

  asio::any_io_executor executor;
  settings how;
  std::deque<idle_connection> idle;  // the one used last is at the back
  std::list<waiter*> waiters;        // first come, first served
  std::size_t borrowed = 0;
  std::size_t opening = 0;
  bool closed = false;
  async::backoff backoff{async::backoff_policy{std::chrono::milliseconds(50), std::chrono::seconds(2), 2.0, 0.3}};
  steady::time_point next_attempt{};
  async::event wake_opener;
  pool_stats numbers;
  bool reached = true;  ///< the database, when it was last needed
};

/// The one used last: what is not needed stays unused, and can be trimmed.
std::unique_ptr<connection> pool_state::take_idle() {
  while (!idle.empty()) {
    auto last = std::move(idle.back().held);
    idle.pop_back();
    if (last->check_alive()) return last;
    ++numbers.dropped_total;
  }
  return nullptr;
}

void pool_state::give_back(std::unique_ptr<connection> returned) {
  --borrowed;
  if (closed) return;
  if (!returned->usable() || returned->in_transaction()) {
    returned.reset();
    ++numbers.dropped_total;
    grow();
    return;
  }
  reached = true;
  offer(std::move(returned));
}

void pool_state::offer(std::unique_ptr<connection> good) {
  if (waiters.empty()) {
    if (borrowed + idle.size() >= numbers.max_size) return;
    idle.push_back({std::move(good), steady::now()});
    return;
  }
  waiter* first = waiters.front();
  waiters.pop_front();
  ++borrowed;
  first->granted = std::move(good);
  first->woken.notify();
}

/// Starts as many openings as there are coroutines waiting and places left; only one while the database is away.
void pool_state::grow() {
  const std::size_t at_once = backoff.failures() > 0 ? 1 : numbers.max_size;
  while (!closed && opening < waiters.size() && opening < at_once &&
         borrowed + idle.size() + opening < numbers.max_size) {
    ++opening;
    asio::co_spawn(
        executor, [self = shared_from_this()] { return self->open_one(); }, asio::detached);
  }
}

void pool_state::fail_waiters(const std::exception_ptr& failure) {
  while (!waiters.empty()) {
    waiter* first = waiters.front();
    waiters.pop_front();
    first->failure = failure;
    first->woken.notify();
  }
}

asio::awaitable<void> pool_state::open_one() {
  const auto self = shared_from_this();
  while (!closed && !waiters.empty()) {
    // Holds also for the first attempt of an opening: callers that give up early and come again must not speed things
    // up.
    const auto now = steady::now();
    if (now < next_attempt) {
      co_await wake_opener.wait_for(next_attempt - now);
      if (opening > 1) break;  // one attempt at a time from here on; the others end
      continue;
    }
    const bool settled = co_await attempt();
    if (settled) break;
  }
  --opening;
  grow();
}

/// True: nothing more to do for this opening.
asio::awaitable<bool> pool_state::attempt() {
  std::exception_ptr failure;
  bool hopeless = false;
  try {
    auto opened = co_await connection::open(how);
    ++numbers.opened_total;
    reached = true;
    numbers.last_connect_error.clear();
    backoff.reset();
    if (!closed) offer(std::move(opened));
    co_return true;
  } catch (const sql_error& error) {
    failure = std::current_exception();
    numbers.last_connect_error = error.what();
    hopeless = error.kind() == sql_kind::permission || error.kind() == sql_kind::undefined ||
               error.kind() == sql_kind::invalid_input;
  } catch (const std::exception& error) {
    failure = std::current_exception();
    numbers.last_connect_error = error.what();
  }
  ++numbers.connect_failures_total;
  reached = false;
  next_attempt = steady::now() + backoff.next(async::random01());
  if (hopeless) fail_waiters(failure);
  co_return hopeless;
}

}  // namespace detail

lease::lease(std::shared_ptr<detail::pool_state> from, std::unique_ptr<connection> what)
    : state_(std::move(from)), connection_(std::move(what)) {}

lease::lease(lease&&) noexcept = default;

lease& lease::operator=(lease&& other) noexcept {
  if (this != &other) {
    release();
    state_ = std::move(other.state_);
    connection_ = std::move(other.connection_);
  }
  return *this;
}

lease::~lease() {
  release();
}

void lease::release() {
  const auto state = std::move(state_);
  state_.reset();
  if (state && connection_) state->give_back(std::move(connection_));
}

pool::pool(asio::any_io_executor executor, settings how, std::size_t max_size)
    : state_(std::make_shared<detail::pool_state>(std::move(executor), std::move(how), max_size)) {}

pool::~pool() {
  state_->closed = true;
  state_->idle.clear();
  state_->wake_opener.notify_all();
  state_->fail_waiters(std::make_exception_ptr(
      base::failure(base::make_error(base::error_kind::cancelled, "the connection pool is closed"))));
}

namespace {

/// Keeps a coroutine's place in the queue; whatever way it leaves, what it was granted is not lost.
class place {
 public:
  explicit place(std::shared_ptr<detail::pool_state> in) : in_(std::move(in)) { in_->waiters.push_back(&self); }
  place(const place&) = delete;
  place& operator=(const place&) = delete;
  ~place() {
    in_->waiters.remove(&self);
    if (self.granted) in_->give_back(std::move(self.granted));
  }
  detail::waiter self;

 private:
  std::shared_ptr<detail::pool_state> in_;
};

}  // namespace

asio::awaitable<lease> pool::acquire(std::chrono::milliseconds limit) {
  const auto state = state_;
  if (state->waiters.empty()) {
    if (auto ready = state->take_idle()) {
      ++state->borrowed;
      ++state->numbers.acquired_total;
      co_return lease(state, std::move(ready));
    }
  }
  place mine(state);
  state->grow();
  co_await mine.self.woken.wait_for(std::min<std::chrono::milliseconds>(limit, async::longest_wait));
  if (mine.self.failure) std::rethrow_exception(mine.self.failure);
  if (!mine.self.granted) {
    std::string message = fmt::format("no database connection within {} ms", limit.count());
    if (!state->numbers.last_connect_error.empty()) message += ": " + state->numbers.last_connect_error;
    if (state->numbers.last_connect_error.empty()) message += fmt::format(" ({} are in use)", state->borrowed);
    sql_error_parts parts;
    parts.kind = sql_kind::connection_lost;
    parts.message = std::move(message);
    throw sql_error(std::move(parts));
  }
  ++state->numbers.acquired_total;
  co_return lease(state, std::move(mine.self.granted));
}

std::size_t pool::idle_trim(std::chrono::milliseconds unused_for) {
  const auto border = steady::now() - unused_for;
  std::size_t closed = 0;
  while (!state_->idle.empty() && state_->idle.front().since <= border) {
    state_->idle.pop_front();
    ++closed;
  }
  return closed;
}

void pool::set_max_size(std::size_t max_size) {
  state_->numbers.max_size = std::max<std::size_t>(1, max_size);
  while (!state_->idle.empty() && state_->borrowed + state_->idle.size() > state_->numbers.max_size)
    state_->idle.pop_front();
  state_->grow();
}

bool pool::available() const {
  return state_->reached && state_->waiters.empty();
}

pool_stats pool::stats() const {
  pool_stats now = state_->numbers;
  now.idle = state_->idle.size();
  now.open = now.idle + state_->borrowed;
  now.opening = state_->opening;
  now.waiting = state_->waiters.size();
  return now;
}

}  // namespace fleet::postgres
