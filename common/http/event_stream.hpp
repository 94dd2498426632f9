// Server-sent events: a bounded queue for each client, and the hub that feeds them.
#pragma once
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstddef>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fleet::http {

/// What goes to one client. For the loop's thread.
class event_stream {
 public:
  event_stream(boost::asio::any_io_executor executor, std::size_t max_queued = 256);

  /// Appends "event: NAME / data: …". False, and the stream is closed, where the client is so slow that the queue is
  /// full: it must connect again and read the current state.
  bool push(std::string_view event_name, std::string_view data);
  /// Ends the stream; what is queued is still sent, except to a slow client.
  void close();
  bool closed() const { return closed_; }

  /// The next encoded event, waiting at most `wait`. Empty: nothing came in time, or the stream is closed and drained.
  boost::asio::awaitable<std::optional<std::string>> next(std::chrono::milliseconds wait);
  bool drained() const { return closed_ && queue_.empty(); }

 private:
  boost::asio::steady_timer wake_;
  std::deque<std::string> queue_;
  std::size_t max_queued_;
  bool closed_ = false;
};

/// Sends each event to every subscriber. For the loop's thread.
class event_hub {
 public:
  explicit event_hub(boost::asio::any_io_executor executor, std::size_t max_subscribers = 64);

  /// Null where there are `max_subscribers` already.
  std::shared_ptr<event_stream> subscribe();
  void publish(std::string_view event_name, std::string_view data);
  void close();  ///< ends every stream
  std::size_t subscribers();

 private:
  void forget_gone();
  boost::asio::any_io_executor executor_;
  std::size_t max_subscribers_;
  std::vector<std::weak_ptr<event_stream>> streams_;
};

}  // namespace fleet::http
