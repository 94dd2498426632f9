#include "tests/support/process_cost.hpp"

#include <unistd.h>

#include <charconv>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>

namespace fleet::test {

namespace {

struct process_stat {
  pid_t parent = 0;
  long ticks = 0;
};

/// The fields behind the name, which may hold anything, a parenthesis too.
process_stat stat_of(const std::string& pid) {
  std::ifstream in("/proc/" + pid + "/stat");
  const std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  process_stat stat;
  const auto end_of_name = text.rfind(')');
  if (end_of_name == std::string::npos) return stat;  // it has ended
  std::istringstream fields(text.substr(end_of_name + 1));
  std::string skipped;
  fields >> skipped >> stat.parent;
  for (int field = 5; field < 14; ++field) fields >> skipped;
  for (int field = 14; field <= 17; ++field) {
    long ticks = 0;
    fields >> ticks;
    stat.ticks += ticks;
  }
  return stat;
}

}  // namespace

double cpu_seconds(pid_t of) {
  long ticks = stat_of(std::to_string(of)).ticks;
  for (const auto& each : std::filesystem::directory_iterator("/proc")) {
    const auto name = each.path().filename().string();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    const auto stat = stat_of(name);
    if (stat.parent == of) ticks += stat.ticks;
  }
  return static_cast<double>(ticks) / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

double resident_mib(pid_t of) {
  std::ifstream in("/proc/" + std::to_string(of) + "/statm");
  long total = 0;
  long resident = 0;
  in >> total >> resident;
  return static_cast<double>(resident) * static_cast<double>(::sysconf(_SC_PAGESIZE)) / (1024.0 * 1024.0);
}

}  // namespace fleet::test
