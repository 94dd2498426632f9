// The workers of one kind, whose number may change while they run.
#pragma once
#include <cstddef>
#include <functional>
#include <list>
#include <string>

#include "common/async/stop.hpp"
#include "common/daemon/supervisor.hpp"

namespace fleet::daemon {

/// For the loop's thread. Workers are named "NAME/0", "NAME/1", …; each is stopped by the daemon's stop, or by its own
/// when the group shrinks: softly, so that it finishes what it has in hand.
class worker_group {
 public:
  /// Makes one worker; `name` is what it is called. What the worker needs lives as long as the function that is
  /// returned.
  using maker = std::function<supervisor::worker(const std::string& name)>;

  /// The supervisor must outlive the group.
  worker_group(boost::asio::any_io_executor executor, supervisor& under, async::stop_token stop, std::string name,
               maker make);

  void resize(std::size_t count);
  std::size_t size() const { return members_.size(); }

 private:
  struct member {
    async::stop_source stop;
    async::subscription soft;
    async::subscription hard;
  };

  boost::asio::any_io_executor executor_;
  supervisor& supervisor_;
  async::stop_token stop_;
  std::string name_;
  maker make_;
  std::list<member> members_;
};

}  // namespace fleet::daemon
