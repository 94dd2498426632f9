#include "common/telemetry/vitals.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

namespace fleet::telemetry {
namespace {

std::string first_line(const char* path) {
  std::ifstream in(path);
  std::string line;
  std::getline(in, line);
  return line;
}

double seconds_since_epoch_of_boot() {
  std::ifstream in("/proc/stat");
  for (std::string word; in >> word;) {
    double value = 0;
    if (word == "btime" && in >> value) return value;
  }
  return 0;
}

/// Field `number` of /proc/self/stat, counted from 1; the second may hold anything, so they are counted from behind it.
double stat_field(const std::string& line, int number) {
  const auto name_end = line.rfind(')');
  if (name_end == std::string::npos) return 0;
  std::istringstream rest(line.substr(name_end + 1));
  std::string word;
  for (int at = 3; at <= number; ++at) rest >> word;
  std::istringstream digits(word);
  double value = 0;
  digits >> value;
  return value;
}

double count_open_files() {
  std::error_code ec;
  const std::filesystem::directory_iterator files("/proc/self/fd", ec);
  if (ec) return 0;
  // The directory itself is open while it is read.
  return static_cast<double>(std::distance(begin(files), end(files)) - 1);
}

gauge ready_of(metrics& registry, daemon_prefix prefix) {
  return prefix == daemon_prefix::singularity ? registry.gauge_of("singularity_ready")
                                              : registry.gauge_of("centralcloud_ready");
}

}  // namespace

vitals::vitals(metrics& registry, daemon_prefix prefix, const std::string& version)
    : registry_(registry),
      ready_(ready_of(registry, prefix)),
      cpu_(registry.counter_of("process_cpu_seconds_total")),
      resident_(registry.gauge_of("process_resident_memory_bytes")),
      virtual_(registry.gauge_of("process_virtual_memory_bytes")),
      open_fds_(registry.gauge_of("process_open_fds")),
      max_fds_(registry.gauge_of("process_max_fds")),
      start_time_(registry.gauge_of("process_start_time_seconds")),
      reconnects_(registry.counter_of("quantumflow_listen_reconnects_total")) {
  const labels with{{"version", version}};
  const auto info = prefix == daemon_prefix::singularity ? registry.gauge_of("singularity_build_info", with)
                                                         : registry.gauge_of("centralcloud_build_info", with);
  info.set(1);
}

void vitals::refresh(const health_state& health) {
  ready_.set(health.ready() ? 1 : 0);
  read_process();
}

void vitals::read_process() {
  const auto line = first_line("/proc/self/stat");
  const auto ticks = static_cast<double>(::sysconf(_SC_CLK_TCK));
  constexpr int user_time = 14, system_time = 15, start_time = 22, virtual_bytes = 23, resident_pages = 24;
  cpu_.raise_to((stat_field(line, user_time) + stat_field(line, system_time)) / ticks);
  start_time_.set(seconds_since_epoch_of_boot() + stat_field(line, start_time) / ticks);
  virtual_.set(stat_field(line, virtual_bytes));
  resident_.set(stat_field(line, resident_pages) * static_cast<double>(::sysconf(_SC_PAGESIZE)));
  open_fds_.set(count_open_files());
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) max_fds_.set(static_cast<double>(limit.rlim_cur));
}

void vitals::show_pool(const pool_figures& now) {
  const auto show = [&](const char* state, std::size_t count) {
    registry_.gauge_of("quantumflow_connections", {{"pool", now.name}, {"state", state}})
        .set(static_cast<double>(count));
  };
  show("open", now.open);
  show("idle", now.idle);
  show("waiting", now.waiting);
  registry_.counter_of("quantumflow_connection_failures_total", {{"pool", now.name}})
      .raise_to(static_cast<double>(now.connect_failures_total));
}

void vitals::show_listen(bool up) {
  registry_.gauge_of("quantumflow_listen_up").set(up ? 1 : 0);
  if (listening_ && !up) reconnects_.increment();
  listening_ = up;
}

}  // namespace fleet::telemetry
