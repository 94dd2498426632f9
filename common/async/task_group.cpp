#include "common/async/task_group.hpp"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <list>
#include <utility>

#include "common/async/event.hpp"

namespace fleet::async {

namespace asio = boost::asio;

struct task_group::state {
  asio::any_io_executor executor;
  failure_handler on_failure;
  std::list<std::string> running;
  event ended;
};

task_group::task_group(asio::any_io_executor executor, failure_handler on_failure) : state_(std::make_shared<state>()) {
  state_->executor = std::move(executor);
  state_->on_failure = std::move(on_failure);
}

task_group::~task_group() {
  state_->on_failure = {};
}

void task_group::spawn(std::string name, asio::awaitable<void> task) {
  const auto at = state_->running.insert(state_->running.end(), std::move(name));
  asio::co_spawn(state_->executor, std::move(task), [shared = state_, at](std::exception_ptr failure) {
    const std::string ended = std::move(*at);
    shared->running.erase(at);
    shared->ended.notify_all();
    if (failure && shared->on_failure) shared->on_failure(ended, failure);
  });
}

std::size_t task_group::running() const {
  return state_->running.size();
}

std::vector<std::string> task_group::names() const {
  std::vector<std::string> all(state_->running.begin(), state_->running.end());
  std::sort(all.begin(), all.end());
  return all;
}

asio::awaitable<bool> task_group::join(std::chrono::nanoseconds limit) {
  const auto shared = state_;
  const auto deadline = std::chrono::steady_clock::now() + std::min(limit, std::chrono::nanoseconds(longest_wait));
  while (!shared->running.empty()) {
    const auto left = deadline - std::chrono::steady_clock::now();
    if (left <= left.zero()) co_return false;
    co_await shared->ended.wait_for(left);
  }
  co_return true;
}

}  // namespace fleet::async
