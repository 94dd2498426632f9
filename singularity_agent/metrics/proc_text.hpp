// The figures in the text of /proc and of control groups. Pure.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/error.hpp"

namespace fleet::agent::metrics {

/// Clock ticks since the machine's start, over all processors.
struct cpu_ticks {
  std::uint64_t busy = 0;
  std::uint64_t total = 0;
};

/// First line of /proc/stat. Time in which a virtual machine was not given its processor (steal) counts as busy: the
/// work had to wait; guest time is inside user time already.
base::result<cpu_ticks> parse_proc_stat(std::string_view text);
/// utime + stime of /proc/<pid>/stat, in clock ticks. The process name may hold spaces and brackets.
base::result<std::uint64_t> parse_pid_stat(std::string_view text);
/// The same with those of the children that it has waited for: utime + stime + cutime + cstime.
base::result<std::uint64_t> parse_pid_stat_with_children(std::string_view text);
/// The processes in /proc/<pid>/task/<tid>/children.
std::vector<std::string> parse_children(std::string_view text);
/// Resident bytes in /proc/<pid>/statm.
base::result<std::uint64_t> parse_statm(std::string_view text, std::uint64_t page_bytes);
/// MemTotal − MemAvailable of /proc/meminfo, in bytes.
base::result<std::uint64_t> parse_meminfo_used(std::string_view text);
/// `usage_usec` of a control group's cpu.stat.
base::result<std::uint64_t> parse_cgroup_cpu(std::string_view text);
/// The one number in a control group's memory.current.
base::result<std::uint64_t> parse_single_number(std::string_view text);

/// Percent of the whole machine between two readings, 0-100; 0 where no time has passed. None where a counter went
/// back.
std::optional<double> busy_percent(cpu_ticks before, cpu_ticks after);

}  // namespace fleet::agent::metrics
