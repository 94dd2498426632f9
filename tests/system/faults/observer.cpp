#include "tests/system/faults/observer.hpp"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

namespace fleet::test::faults {

namespace fs = std::filesystem;

observer::observer(world& in, history& into) : fleet_(in), record_(into) {
  processes_changed();
  thread_ = std::thread([this] { run(); });
}

observer::~observer() {
  stop();
}

void observer::stop() {
  running_ = false;
  if (thread_.joinable()) thread_.join();
}

void observer::phase(const std::string& name) {
  const std::scoped_lock lock(mutex_);
  phase_ = name;
}

void observer::processes_changed() {
  const std::scoped_lock lock(mutex_);
  for (const auto& name : fleet_.names()) pids_[name] = fleet_.process(name).pid();
}

observer::reading observer::read(pid_t pid, const std::string& log) {
  reading now_is;
  now_is.pid = pid;
  now_is.at = now();
  const auto proc = "/proc/" + std::to_string(pid);
  std::ifstream stat(proc + "/stat");
  std::string text((std::istreambuf_iterator<char>(stat)), std::istreambuf_iterator<char>());
  // The name in parentheses may hold anything; after it: state, then numbers, utime and stime as 12th and 13th of them.
  std::istringstream fields(text.substr(text.rfind(')') == std::string::npos ? text.size() : text.rfind(')') + 1));
  std::string skipped;
  for (int i = 0; i < 12 - 1; ++i) fields >> skipped;
  long user = 0, system = 0;
  fields >> user >> system;
  now_is.cpu_ticks = user + system;
  std::ifstream statm(proc + "/statm");
  long pages = 0;
  statm >> pages >> pages;
  now_is.rss_kib = pages * (::sysconf(_SC_PAGESIZE) / 1024);
  std::error_code gone;
  for (fs::directory_iterator each(proc + "/fd", gone), end; !gone && each != end; each.increment(gone))
    ++now_is.descriptors;
  now_is.log_bytes = fs::file_size(log, gone);
  if (gone) now_is.log_bytes = 0;
  return now_is;
}

void observer::record(const std::string& daemon, const std::string& phase, const reading& before,
                      const reading& after) {
  const double seconds = after.at - before.at;
  const double ticks = static_cast<double>(after.cpu_ticks - before.cpu_ticks);
  entry made{.kind = "resource", .who = daemon, .op = phase};
  made.detail["cpu_percent"] = 100.0 * ticks / static_cast<double>(::sysconf(_SC_CLK_TCK)) / seconds;
  made.detail["rss_kib"] = after.rss_kib;
  made.detail["descriptors"] = after.descriptors;
  made.detail["log_bytes_per_second"] = static_cast<double>(after.log_bytes - before.log_bytes) / seconds;
  record_.add(std::move(made));
}

void observer::run() {
  std::map<std::string, reading> before;
  std::string phase_before;
  while (running_) {
    std::map<std::string, pid_t> pids;
    std::string phase;
    {
      const std::scoped_lock lock(mutex_);
      pids = pids_;
      phase = phase_;
    }
    for (const auto& [name, pid] : pids) {
      auto after = read(pid, fleet_.log_path(name));
      const auto& last = before[name];
      // A second in which the phase or the process changed belongs to neither.
      if (!phase.empty() && phase == phase_before && last.pid == pid && after.cpu_ticks >= last.cpu_ticks)
        record(name, phase, last, after);
      before[name] = after;
    }
    phase_before = phase;
    for (int i = 0; i < 50 && running_; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

}  // namespace fleet::test::faults
