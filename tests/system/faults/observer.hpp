// Watches the daemons from outside: what they cost.
#pragma once
#include <atomic>
#include <map>
#include <mutex>
#include <string>
#include <thread>

#include "tests/system/faults/history.hpp"
#include "tests/system/faults/world.hpp"

namespace fleet::test::faults {

/// Samples every daemon's CPU, memory, descriptors and log every second, on a thread of its own.
class observer {
 public:
  observer(world& in, history& into);
  ~observer();
  observer(const observer&) = delete;
  observer& operator=(const observer&) = delete;
  /// What the samples from now on are of: "idle", "load", "outage", …; "" for times that say nothing.
  void phase(const std::string& name);
  /// The processes, as they are after a start; call after each.
  void processes_changed();
  void stop();

 private:
  struct reading {
    pid_t pid = -1;
    double at = 0;
    long cpu_ticks = 0, rss_kib = 0, descriptors = 0;
    std::uintmax_t log_bytes = 0;
  };
  void run();
  static reading read(pid_t pid, const std::string& log);
  void record(const std::string& daemon, const std::string& phase, const reading& before, const reading& after);

  world& fleet_;
  history& record_;
  std::mutex mutex_;
  std::string phase_;
  std::map<std::string, pid_t> pids_;
  std::atomic<bool> running_{true};
  std::thread thread_;
};

}  // namespace fleet::test::faults
