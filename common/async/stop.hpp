// Stopping in two steps: soft (finish what you do, start nothing new) and hard (leave at once).
#pragma once
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>

namespace fleet::async {

namespace detail {
struct stop_level {
  bool requested = false;
  std::uint64_t next_id = 0;
  std::map<std::uint64_t, std::function<void()>> callbacks;  ///< in the order of subscription

  void request();
};
struct stop_state {
  boost::asio::any_io_executor executor;
  stop_level soft;
  stop_level hard;
};
}  // namespace detail

/// Keeps a callback of a stop token; destroying it takes the callback back. Movable.
class subscription {
 public:
  subscription() = default;
  subscription(std::weak_ptr<detail::stop_state> state, detail::stop_level detail::stop_state::*level,
               std::uint64_t id);
  subscription(subscription&& other) noexcept;
  subscription& operator=(subscription&& other) noexcept;
  ~subscription();
  void reset();

 private:
  std::weak_ptr<detail::stop_state> state_;
  detail::stop_level detail::stop_state::*level_ = nullptr;
  std::uint64_t id_ = 0;
};

/// What work looks at. Cheap to copy; outlives its source. One made by default is never stopped. For the loop's thread.
class stop_token {
 public:
  stop_token() = default;

  bool soft_requested() const { return state_ && state_->soft.requested; }
  bool hard_requested() const { return state_ && state_->hard.requested; }

  /// Waits that long. False: a soft stop was or is requested (returns at once then).
  boost::asio::awaitable<bool> sleep_for(std::chrono::nanoseconds duration) const;

  /// Calls `call` when the stop is requested, from inside the request; at once if it already was. It must not throw.
  [[nodiscard]] subscription on_soft(std::function<void()> call) const;
  [[nodiscard]] subscription on_hard(std::function<void()> call) const;

 private:
  friend class stop_source;
  explicit stop_token(std::shared_ptr<detail::stop_state> state) : state_(std::move(state)) {}
  subscription subscribe(detail::stop_level detail::stop_state::*level, std::function<void()> call) const;

  std::shared_ptr<detail::stop_state> state_;
};

/// What asks for the stop. Both requests may be repeated; a hard one implies a soft one. For the loop's thread.
class stop_source {
 public:
  explicit stop_source(boost::asio::any_io_executor executor);
  void request_soft();
  void request_hard();
  stop_token token() const { return stop_token(state_); }

 private:
  std::shared_ptr<detail::stop_state> state_;
};

/// The longest wait that a timer is given: adding more to "now" could overflow.
inline constexpr std::chrono::hours longest_wait{24 * 365};

}  // namespace fleet::async
