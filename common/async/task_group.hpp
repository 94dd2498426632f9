// Coroutines that run on their own and are waited for together.
#pragma once
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace fleet::async {

/// For one thread. Destroying the group leaves its tasks running; their failures go nowhere from then on.
class task_group {
 public:
  /// Called with the exception that ended a task.
  using failure_handler = std::function<void(const std::string& name, std::exception_ptr)>;

  explicit task_group(boost::asio::any_io_executor executor, failure_handler on_failure = {});
  ~task_group();
  task_group(const task_group&) = delete;
  task_group& operator=(const task_group&) = delete;

  /// Starts at the loop's next turn. `name` is for the failure handler and for `names`.
  void spawn(std::string name, boost::asio::awaitable<void> task);
  std::size_t running() const;
  std::vector<std::string> names() const;  ///< of those that run, sorted

  /// True: none runs any more. False: some still did after `limit`. Tasks spawned meanwhile are waited for too.
  boost::asio::awaitable<bool> join(std::chrono::nanoseconds limit);

 private:
  struct state;
  std::shared_ptr<state> state_;
};

}  // namespace fleet::async
