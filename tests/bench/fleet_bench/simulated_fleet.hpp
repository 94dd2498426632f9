// Many instances in one process: each with the workers, the waker (one listening session) and the poller of a real
// agent, built of the same code, and all on one pool of connections.
#pragma once
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/async/stop.hpp"
#include "common/quantumflow/consumer.hpp"
#include "common/quantumflow/publish.hpp"

namespace fleet::bench {

struct simulated_options {
  std::string url;
  int instances = 1000;
  int voters = 50;  ///< of them; each approves what it is asked
  std::size_t connections = 16;
  bool listens = true;  ///< false: queues are polled
};

class simulated_fleet {
 public:
  using steady = std::chrono::steady_clock;

  /// Registered and subscribed already (`register_all`).
  explicit simulated_fleet(simulated_options options);
  ~simulated_fleet();
  simulated_fleet(const simulated_fleet&) = delete;
  simulated_fleet& operator=(const simulated_fleet&) = delete;

  static void register_all(const std::function<void(const std::string& sql)>& psql, int instances, int voters);

  /// Runs the loop; false when the condition does not hold in time.
  bool run_until(const std::function<bool()>& condition, std::chrono::milliseconds limit);
  void run_for(std::chrono::milliseconds duration);
  void publish(std::string queue, boost::json::object payload);

  /// When each instance had the pattern; a second delivery is counted in `repeated`.
  const std::vector<steady::time_point>& pattern_seen(const std::string& pattern) { return seen_[pattern]; }
  std::size_t listening() const;
  std::size_t repeated() const { return repeated_; }
  std::size_t results() const { return results_; }
  /// Workers that ended with an error and were started again, by its text.
  const std::map<std::string, int>& failures() const { return failures_; }

 private:
  static std::string name_of(int instance);
  boost::asio::awaitable<void> work(std::string queue, int instance);
  boost::asio::awaitable<void> start_turn(int instance);
  boost::asio::awaitable<void> live(quantumflow::waker& waker, int instance);
  boost::asio::awaitable<void> beat(int instance);
  boost::asio::awaitable<std::vector<quantumflow::outcome>> handle(postgres::transaction& in,
                                                                   std::span<const quantumflow::message> batch,
                                                                   const std::string& queue, int instance);
  boost::asio::awaitable<void> vote(postgres::transaction& in, boost::json::object request, int instance);
  boost::asio::awaitable<void> publish_patiently(quantumflow::publication what);
  void spawn(boost::asio::awaitable<void> work);

  simulated_options options_;
  boost::asio::io_context io_;
  async::stop_source stop_;
  postgres::pool pool_;
  std::vector<std::unique_ptr<quantumflow::waker>> wakers_;
  std::size_t running_ = 0;
  std::map<std::string, std::vector<steady::time_point>> seen_;
  std::map<std::pair<std::string, int>, int> handled_;
  std::size_t repeated_ = 0;
  std::size_t results_ = 0;
  std::map<std::string, int> failures_;
};

}  // namespace fleet::bench
