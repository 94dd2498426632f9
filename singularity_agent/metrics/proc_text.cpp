#include "singularity_agent/metrics/proc_text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <string>
#include <vector>

#include "common/base/text.hpp"

namespace fleet::agent::metrics {
namespace {

base::error unreadable(std::string_view what) {
  return base::make_error(base::error_kind::invalid_input, fmt::format("{}: not the expected text", what));
}

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (ec != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::vector<std::string_view> words(std::string_view text) {
  std::vector<std::string_view> found;
  constexpr std::string_view space = " \t\n";
  for (auto at = text.find_first_not_of(space); at != std::string_view::npos;) {
    const auto end = std::min(text.find_first_of(space, at), text.size());
    found.push_back(text.substr(at, end - at));
    at = text.find_first_not_of(space, end);
  }
  return found;
}

/// The first number on the line that starts with `key`.
std::optional<std::uint64_t> keyed(std::string_view text, std::string_view key) {
  for (const auto& line : base::split(text, '\n')) {
    const auto fields = words(line);
    if (fields.size() >= 2 && fields[0] == key) return number(fields[1]);
  }
  return std::nullopt;
}

}  // namespace

base::result<cpu_ticks> parse_proc_stat(std::string_view text) {
  const auto fields = words(text.substr(0, text.find('\n')));
  // cpu user nice system idle iowait irq softirq steal guest guest_nice
  if (fields.size() < 5 || fields[0] != "cpu") return unreadable("/proc/stat");
  cpu_ticks ticks;
  for (std::size_t i = 1; i < fields.size() && i <= 8; ++i) {
    const auto value = number(fields[i]);
    if (!value) return unreadable("/proc/stat");
    ticks.total += *value;
    const bool idle = i == 4 || i == 5;
    if (!idle) ticks.busy += *value;
  }
  return ticks;
}

namespace {

/// The sum of so many fields of /proc/<pid>/stat from utime on.
base::result<std::uint64_t> sum_of_times(std::string_view text, std::size_t count) {
  // After the name: state is field 3 of proc(5), utime 14, then stime, cutime, cstime.
  constexpr std::size_t utime = 11;
  const auto name_end = text.rfind(')');
  if (name_end == std::string_view::npos) return unreadable("/proc/<pid>/stat");
  const auto fields = words(text.substr(name_end + 1));
  if (fields.size() < utime + count) return unreadable("/proc/<pid>/stat");
  std::uint64_t sum = 0;
  for (std::size_t i = utime; i < utime + count; ++i) {
    const auto value = number(fields[i]);
    if (!value) return unreadable("/proc/<pid>/stat");
    sum += *value;
  }
  return sum;
}

}  // namespace

base::result<std::uint64_t> parse_pid_stat(std::string_view text) {
  return sum_of_times(text, 2);
}

base::result<std::uint64_t> parse_pid_stat_with_children(std::string_view text) {
  return sum_of_times(text, 4);
}

std::vector<std::string> parse_children(std::string_view text) {
  std::vector<std::string> found;
  for (const auto& word : words(text))
    if (number(word)) found.emplace_back(word);
  return found;
}

base::result<std::uint64_t> parse_statm(std::string_view text, std::uint64_t page_bytes) {
  const auto fields = words(text);
  const auto resident = fields.size() >= 2 ? number(fields[1]) : std::nullopt;
  if (!resident) return unreadable("/proc/<pid>/statm");
  return *resident * page_bytes;
}

base::result<std::uint64_t> parse_meminfo_used(std::string_view text) {
  const auto total = keyed(text, "MemTotal:");
  const auto available = keyed(text, "MemAvailable:");
  if (!total || !available) return unreadable("/proc/meminfo");
  return (*total - std::min(*available, *total)) * 1024;
}

base::result<std::uint64_t> parse_cgroup_cpu(std::string_view text) {
  const auto usage = keyed(text, "usage_usec");
  if (!usage) return unreadable("cpu.stat");
  return *usage;
}

base::result<std::uint64_t> parse_single_number(std::string_view text) {
  const auto value = number(base::trim(text));
  if (!value) return unreadable("memory.current");
  return *value;
}

std::optional<double> busy_percent(cpu_ticks before, cpu_ticks after) {
  if (after.total < before.total || after.busy < before.busy) return std::nullopt;
  if (after.total == before.total) return 0;
  const auto share =
      static_cast<double>(after.busy - before.busy) / static_cast<double>(after.total - before.total) * 100.0;
  return std::min(share, 100.0);
}

}  // namespace fleet::agent::metrics
