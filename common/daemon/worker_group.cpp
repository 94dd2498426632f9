#include "common/daemon/worker_group.hpp"

#include <memory>
#include <utility>

namespace fleet::daemon {

worker_group::worker_group(boost::asio::any_io_executor executor, supervisor& under, async::stop_token stop,
                           std::string name, maker make)
    : executor_(std::move(executor)),
      supervisor_(under),
      stop_(std::move(stop)),
      name_(std::move(name)),
      make_(std::move(make)) {}

void worker_group::resize(std::size_t count) {
  while (members_.size() > count) {
    members_.back().stop.request_soft();
    members_.pop_back();
  }
  while (members_.size() < count) {
    async::stop_source own(executor_);
    const auto token = own.token();
    auto name = name_ + "/" + std::to_string(members_.size());
    auto run = make_(name);
    // The sources are handles: the copy in the callback stops the same worker.
    member next{own, stop_.on_soft([own]() mutable { own.request_soft(); }),
                stop_.on_hard([own]() mutable { own.request_hard(); })};
    members_.push_back(std::move(next));
    supervisor_.supervise(std::move(name), [run = std::move(run), token](async::stop_token) { return run(token); });
  }
}

}  // namespace fleet::daemon
