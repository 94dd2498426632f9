#include "common/daemon/supervisor.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <map>
#include <set>

#include "common/async/backoff.hpp"
#include "common/async/event.hpp"
#include "common/base/error.hpp"
#include "common/telemetry/episode.hpp"

namespace fleet::daemon {

/// When a watched worker's loop last turned.
struct turns {
  std::chrono::steady_clock::time_point last = std::chrono::steady_clock::now();
  std::chrono::milliseconds limit{};
};

struct supervisor::state {
  boost::asio::any_io_executor executor;
  async::stop_token stop;
  telemetry::logger log;
  telemetry::metrics& metrics;
  telemetry::health_state& health;
  supervision rules;
  /// What all workers need is away for all of them: one trouble, and not as many as there are workers.
  telemetry::episode away{log, "workers_wait", "workers_go_on", "what they need is there again"};
  std::set<std::string> waiting = {};  ///< whose last run ended by that
  std::size_t running = 0;
  bool fatal = false;
  async::event ended = {};
  std::map<std::string, std::shared_ptr<turns>> watched = {};
  std::string lost = {};   ///< a worker that nobody looks after any more
  async::event back = {};  ///< what was away is there again: no need to wait any longer

  std::shared_ptr<turns> watch_of(const std::string& worker) const {
    const auto at = watched.find(worker);
    return at == watched.end() ? nullptr : at->second;
  }
  void goes_on(const std::string& worker) {
    if (waiting.erase(worker) > 0 && waiting.empty()) away.over();
  }
  /// A run after a failure was long enough.
  void trust(const std::string& worker) {
    health.set("worker " + worker, true);
    if (waiting.count(worker) > 0 && back.waiting() > 0) back.notify_all();
    goes_on(worker);
  }
};

namespace {

using steady = std::chrono::steady_clock;
namespace asio = boost::asio;

struct ending {
  bool failed = false;
  bool transient = false;    ///< something needed was away: not the worker's fault
  bool unavailable = false;  ///< it was away altogether, and did not only take too long
  std::string reason;
};

/// Never throws: the one place where a worker's exception is caught.
asio::awaitable<ending> run_once(const supervisor::worker& run, async::stop_token stop) {
  ending how;
  try {
    co_await run(stop);
    co_return how;
  } catch (const base::failure& failed) {
    const auto kind = failed.get().kind;
    how.unavailable = kind == base::error_kind::unavailable;
    how.transient = how.unavailable || kind == base::error_kind::timeout;
    how.reason = failed.what();
  } catch (const std::exception& failed) {
    how.reason = failed.what();
  } catch (...) {
    how.reason = "an exception of unknown type";
  }
  how.failed = true;
  co_return how;
}

/// A run after a failure, until it is trusted: a worker that fails in each first second is not well. Its timer's
/// handler may be on its way when the run ends, and keeps this alive until then.
template <class State>
struct probation : std::enable_shared_from_this<probation<State>> {
  probation(std::shared_ptr<State> of, std::string worker)
      : shared(std::move(of)), name(std::move(worker)), timer(shared->executor) {}

  /// `if_available`: only while what is needed is there; looked at again and again.
  void begin(std::chrono::milliseconds lasts, bool if_available) {
    timer.expires_after(lasts);
    timer.async_wait([self = this->shared_from_this(), lasts, if_available](boost::system::error_code ec) {
      if (ec || self->over) return;
      if (if_available && !self->shared->rules.available()) return self->begin(lasts, if_available);
      self->passed = true;
      self->shared->trust(self->name);
    });
  }
  void end() {
    over = true;
    timer.cancel();
  }

  std::shared_ptr<State> shared;
  std::string name;
  asio::steady_timer timer;
  bool over = false;  ///< the run has ended
  bool passed = false;
};

/// One worker's life: runs, failures, waits.
template <class State>
class life {
 public:
  life(std::shared_ptr<State> of, std::string name)
      : shared_(std::move(of)),
        name_(std::move(name)),
        delays_(async::backoff_policy{shared_->rules.min_backoff, shared_->rules.max_backoff, 2.0, 0.2}),
        restarts_(shared_->metrics.get_counter(shared_->rules.metrics_prefix + "_worker_restarts_total",
                                               "Workers started again after a failure", {{"worker", name_}})) {}

  void begin_run() {
    began_ = steady::now();
    if (watch_) watch_->last = began_;
    if (failures_in_a_row_ == 0) return;
    // While a statement takes too long, a connection is to be had all the same: that says nothing.
    const bool asks = unavailable_ && shared_->rules.available;
    probation_ = std::make_shared<probation<State>>(shared_, name_);
    probation_->begin(asks ? shared_->rules.settling : shared_->rules.max_backoff, asks);
  }

  /// How long to wait before the next run.
  std::chrono::nanoseconds note_failure(const ending& how) {
    const bool was_well = probation_ && probation_->passed;
    end_probation();
    const auto now = steady::now();
    if (now - began_ >= shared_->rules.window || (how.transient && was_well)) {
      delays_.reset();
      failures_in_a_row_ = 0;
    }
    unavailable_ = how.unavailable;
    ++failures_in_a_row_;
    restarts_.increment();
    const bool too_many = !how.transient && is_too_many(now);
    const auto delay =
        too_many ? std::chrono::nanoseconds(shared_->rules.max_backoff) : delays_.next(async::random01());
    const auto delay_ms = std::chrono::duration_cast<std::chrono::milliseconds>(delay).count();
    shared_->health.set("worker " + name_, false, how.reason);
    tell(how, delay_ms);
    if (too_many) note_fatal();
    return delay;
  }

  void end(const ending& how) {
    end_probation();
    if (how.failed && !shared_->stop.hard_requested())
      shared_->log.warning("worker_failed", how.reason, {{"worker", name_}, {"while", "stopping"}});
    shared_->log.debug("worker_ended", name_);
    shared_->goes_on(name_);
    // Where a group has shrunk, nobody misses the worker; and where it has grown again, the name is somebody else's
    // already.
    if (failures_in_a_row_ > 0 && !shared_->stop.soft_requested()) shared_->health.set("worker " + name_, true);
    if (watch_ == shared_->watch_of(name_)) shared_->watched.erase(name_);
    --shared_->running;
    shared_->ended.notify_all();
  }

 private:
  void end_probation() {
    if (probation_) probation_->end();
    probation_.reset();
  }

  void tell(const ending& how, std::int64_t delay_ms) {
    if (how.transient) {
      shared_->waiting.insert(name_);
      shared_->away.occurred(how.reason, name_);
    }
    const auto level = how.transient ? telemetry::log_level::debug : telemetry::log_level::warning;
    shared_->log.write(level, "worker_failed", how.reason,
                       {{"worker", name_}, {"failures_in_a_row", failures_in_a_row_}, {"retry_in_ms", delay_ms}});
  }

  bool is_too_many(steady::time_point now) {
    failures_.push_back(now);
    while (failures_.front() + shared_->rules.window < now || failures_.size() > shared_->rules.max_restarts + 1)
      failures_.pop_front();
    return failures_.size() > shared_->rules.max_restarts;
  }

  void note_fatal() {
    if (shared_->fatal) return;
    shared_->fatal = true;
    shared_->log.error("worker_fatal", "a worker fails again and again", {{"worker", name_}});
    if (shared_->rules.on_fatal) shared_->rules.on_fatal(name_);
  }

  std::shared_ptr<State> shared_;
  std::string name_;
  std::shared_ptr<probation<State>> probation_;  ///< of the run under way, if it needs one
  async::backoff delays_;
  telemetry::counter restarts_;
  std::shared_ptr<turns> watch_ = shared_->watch_of(name_);  ///< none: its turns are not watched
  steady::time_point began_;
  unsigned failures_in_a_row_ = 0;
  bool unavailable_ = false;                 ///< the last failure was that
  std::deque<steady::time_point> failures_;  ///< within the window; transient ones are not counted
};

template <class State>
asio::awaitable<void> supervise_until_stop(std::shared_ptr<State> shared, std::string name, supervisor::worker run) {
  life<State> one(shared, name);
  ending how;
  while (true) {
    one.begin_run();
    how = co_await run_once(run, shared->stop);
    if (!how.failed || shared->stop.soft_requested()) break;
    const auto delay = one.note_failure(how);
    if (how.transient) {
      co_await shared->back.wait_for(delay, shared->stop);
    } else {
      co_await shared->stop.sleep_for(delay);
    }
    if (shared->stop.soft_requested()) {
      how.failed = false;
      break;
    }
  }
  one.end(how);
}

}  // namespace

supervisor::supervisor(asio::any_io_executor executor, async::stop_token stop, telemetry::logger log,
                       telemetry::metrics& metrics, telemetry::health_state& health, supervision rules)
    : state_(new state{executor, stop, std::move(log), metrics, health, std::move(rules)}) {}

void supervisor::supervise(std::string name, worker run) {
  ++state_->running;
  // A worker that does not listen to the soft stop is cancelled by the hard one.
  auto cancel = std::make_shared<asio::cancellation_signal>();
  auto hard = std::make_shared<async::subscription>(
      state_->stop.on_hard([cancel] { cancel->emit(asio::cancellation_type::terminal); }));
  const auto done = [cancel, hard, shared = state_, name](std::exception_ptr thrown) {
    hard->reset();
    if (thrown) shared->lost = name;
    if (thrown) shared->log.error("worker_lost", "supervision of a worker ended by an exception");
  };
  asio::co_spawn(state_->executor, supervise_until_stop(state_, std::move(name), std::move(run)),
                 asio::bind_cancellation_slot(cancel->slot(), done));
}

asio::awaitable<bool> supervisor::wait(std::chrono::milliseconds limit) {
  const auto shared = state_;
  const auto deadline = steady::now() + limit;
  while (shared->running > 0) {
    const auto left = deadline - steady::now();
    if (left <= std::chrono::nanoseconds(0)) co_return false;
    co_await shared->ended.wait_for(left);
  }
  co_return true;
}

std::function<void()> supervisor::watch_turns(std::string name, std::chrono::milliseconds limit) {
  auto watch = std::make_shared<turns>();
  watch->limit = limit;
  state_->watched[std::move(name)] = watch;
  return [watch] { watch->last = steady::now(); };
}

void supervisor::supervise(std::string name, std::chrono::milliseconds turn_limit, turning_worker run) {
  auto turned = watch_turns(name, turn_limit);
  supervise(std::move(name), [turned, run = std::move(run)](async::stop_token stop) { return run(stop, turned); });
}

std::optional<std::string> supervisor::stuck() const {
  if (!state_->lost.empty()) return "worker " + state_->lost + " was lost";
  const auto now = steady::now();
  for (const auto& [name, watch] : state_->watched)
    if (now - watch->last > watch->limit)
      return "worker " + name + " has not turned for " + std::to_string(watch->limit.count()) + " ms";
  return std::nullopt;
}

std::size_t supervisor::running() const {
  return state_->running;
}
bool supervisor::fatal() const {
  return state_->fatal;
}

}  // namespace fleet::daemon
