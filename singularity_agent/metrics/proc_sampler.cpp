#include "singularity_agent/metrics/proc_sampler.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>

namespace fleet::agent::metrics {
namespace {

/// Over less, a busy moment looks like a busy machine: 60 ms in which git runs are 100 %.
constexpr std::chrono::seconds shortest_window{1};
constexpr double bytes_per_mib = 1024.0 * 1024.0;

/// At most 64 KiB: /proc/stat of a large machine is longer, and its first line is what counts.
base::result<std::string> read_head(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text(64 * 1024, '\0');
  if (file) file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (!file && file.gcount() == 0)
    return base::make_error(base::error_kind::unavailable, fmt::format("cannot read {}", path.string()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  return text;
}

std::uint64_t system_value(int name, std::uint64_t fallback) {
  const auto value = ::sysconf(name);
  return value > 0 ? static_cast<std::uint64_t>(value) : fallback;
}

}  // namespace

proc_sampler::proc_sampler(sampled_subject of, std::filesystem::path proc, clock now)
    : of_(std::move(of)), proc_(std::move(proc)), now_(std::move(now)) {}

base::result<proc_sampler::reading> proc_sampler::read_process(const one_process& of, cpu_ticks machine) const {
  const auto directory = proc_ / std::to_string(of.pid);
  const auto stat = read_head(directory / "stat");
  if (!stat) return stat.error();
  const auto statm = read_head(directory / "statm");
  if (!statm) return statm.error();
  const auto busy = parse_pid_stat(*stat);
  if (!busy) return busy.error();
  const auto memory = parse_statm(*statm, system_value(_SC_PAGESIZE, 4096));
  if (!memory) return memory.error();
  return reading{{*busy, machine.total}, *memory};
}

base::result<proc_sampler::reading> proc_sampler::read_group(const control_group& of, cpu_ticks machine) {
  const auto stat = read_head(of.directory / "cpu.stat");
  if (!stat) return stat.error();
  const auto current = read_head(of.directory / "memory.current");
  if (!current) return current.error();
  const auto usage_us = parse_cgroup_cpu(*stat);
  if (!usage_us) return usage_us.error();
  const auto memory = parse_single_number(*current);
  if (!memory) return memory.error();
  const auto ticks_per_second = system_value(_SC_CLK_TCK, 100);
  return reading{{*usage_us * ticks_per_second / 1'000'000, machine.total}, *memory};
}

base::result<proc_sampler::reading> proc_sampler::read_now() const {
  const auto stat = read_head(proc_ / "stat");
  if (!stat) return stat.error();
  const auto machine = parse_proc_stat(*stat);
  if (!machine) return machine.error();
  if (const auto* process = std::get_if<one_process>(&of_)) return read_process(*process, *machine);
  if (const auto* group = std::get_if<control_group>(&of_)) return read_group(*group, *machine);
  const auto meminfo = read_head(proc_ / "meminfo");
  if (!meminfo) return meminfo.error();
  const auto used = parse_meminfo_used(*meminfo);
  if (!used) return used.error();
  auto without_own = *machine;
  without_own.busy -= std::min(without_own.busy, own_ticks());
  return reading{without_own, *used};
}

/// 0 where they cannot be read.
std::uint64_t proc_sampler::own_ticks() const {
  const auto text = read_head(proc_ / "self" / "stat");
  if (!text) return 0;
  const auto ticks = parse_pid_stat_with_children(*text);
  return ticks ? *ticks : 0;
}

void proc_sampler::measure(cpu_ticks now) {
  const auto at = now_();
  if (before_ && at - before_at_ < shortest_window) return;
  if (before_) cpu_usage_ = busy_percent(*before_, now);
  before_ = now;
  before_at_ = at;
}

base::result<messages::metric_set> proc_sampler::sample_now() {
  const auto now = read_now();
  if (!now) return now.error();
  messages::metric_set metrics;
  const auto put = [&metrics](const char* name, double value) {
    if (const auto exact = base::decimal::from_double(value)) metrics.insert_or_assign(name, *exact);
  };
  put("memory", static_cast<double>(now->memory_bytes) / bytes_per_mib);
  measure(now->cpu);
  if (cpu_usage_) put("cpu_usage", *cpu_usage_);
  return metrics;
}

boost::asio::awaitable<base::result<messages::metric_set>> proc_sampler::sample() {
  co_return sample_now();
}

}  // namespace fleet::agent::metrics
