// A wake-up that resets itself: who waits for work is woken by who brings it.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstddef>
#include <memory>

#include "common/async/stop.hpp"

namespace fleet::async {

/// For one thread. A waiter may outlive the event: it is woken only by its time limit or stop then.
class event {
 public:
  event();
  ~event();
  event(const event&) = delete;
  event& operator=(const event&) = delete;

  /// Wakes the one that has waited longest; with nobody waiting it is remembered, once.
  void notify();
  /// Wakes everybody who waits; with nobody waiting it is remembered, once.
  void notify_all();
  /// Forgets a remembered notification.
  void reset();
  std::size_t waiting() const;

  /// True: notified. False: the time is over, or a soft stop is requested. Throws `operation_aborted` when the
  /// coroutine is cancelled.
  boost::asio::awaitable<bool> wait_for(std::chrono::nanoseconds duration, stop_token stop = {});

 private:
  struct state;
  struct waiter;
  std::shared_ptr<state> state_;
};

}  // namespace fleet::async
