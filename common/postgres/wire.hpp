// libpq's socket on Asio: the one place that waits for it. Internal to this folder.
#pragma once
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>

#include "common/async/stop.hpp"
#include "common/postgres/connection.hpp"
#include "common/postgres/libpq.hpp"

namespace fleet::postgres {

using steady = std::chrono::steady_clock;

/// A libpq connection and what waits for it. One deadline at a time: `arm` before, `disarm` after; a wait that it ends
/// says so. Shared with the blocking pool while connecting: whoever lets go last finishes the connection.
class wire {
 public:
  explicit wire(boost::asio::any_io_executor executor);
  ~wire();
  wire(const wire&) = delete;
  wire& operator=(const wire&) = delete;

  PGconn* get() const { return connection_.get(); }
  const std::shared_ptr<PGconn>& shared() const { return connection_; }
  const boost::asio::any_io_executor& executor() const { return executor_; }
  void reset(std::shared_ptr<PGconn> other);

  /// libpq may have another socket after each step of connecting, even under the same number.
  void assign_socket();
  void release_socket();

  void arm(steady::time_point deadline);
  void disarm();
  steady::time_point deadline() const { return deadline_; }

  enum class wait_end { ready, deadline, interrupted };
  boost::asio::awaitable<wait_end> wait_read();
  boost::asio::awaitable<wait_end> wait_write();
  boost::asio::awaitable<wait_end> wait_read_or_write();
  /// Ends a wait under way with `interrupted`.
  void interrupt();

  /// Sends what is buffered, then reads results to the end: of a statement, or of a pipeline up to its sync. Gives the
  /// last result; an error result, if there was one, comes first. Throws `sql_error` (`connection_lost`, `timeout`),
  /// and the connection is of no use then.
  boost::asio::awaitable<result_ptr> collect(std::string doing);
  /// Takes in what has arrived. False: the connection is lost.
  bool consume();
  std::deque<notification> notifications;

 private:
  struct watch;
  boost::asio::awaitable<void> flush(const std::string& doing);
  boost::asio::awaitable<bool> read_more(const std::string& doing);
  boost::asio::awaitable<result_ptr> next_result(const std::string& doing);
  wait_end end_of(const boost::system::error_code& failed) const;
  void take_notifications();

  boost::asio::any_io_executor executor_;
  boost::asio::posix::stream_descriptor socket_;
  boost::asio::steady_timer timer_;
  steady::time_point deadline_{};
  std::shared_ptr<watch> watch_;
  std::shared_ptr<PGconn> connection_;
};

/// The failure of a client-side deadline.
sql_error deadline_error(std::string doing);

}  // namespace fleet::postgres
