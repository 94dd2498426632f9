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
/// Of the agent's commands, at once: who starts more is not counted to the end.
constexpr int most_processes = 1000;
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
  return reading{{*busy, machine.total}, *memory, 0};
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
  return reading{{*usage_us * ticks_per_second / 1'000'000, machine.total}, *memory, 0};
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
  return reading{*machine, *used, own_ticks()};
}

/// Of a process with those that have ended, and of all that it has started and that still run.
std::uint64_t proc_sampler::ticks_of_tree(const std::filesystem::path& process, int& budget) const {
  const auto stat = read_head(process / "stat");
  const auto own = stat ? parse_pid_stat_with_children(*stat) : 0;
  std::uint64_t sum = own ? *own : 0;
  std::error_code gone;
  for (std::filesystem::directory_iterator threads(process / "task", gone), end; !gone && threads != end;
       threads.increment(gone)) {
    const auto children = read_head(threads->path() / "children");
    if (!children) continue;
    for (const auto& child : parse_children(*children))
      if (--budget >= 0) sum += ticks_of_tree(proc_ / child, budget);
  }
  return sum;
}

/// 0 where they cannot be read. A child that ends meanwhile could be counted twice, or not at all: then once more.
std::uint64_t proc_sampler::own_ticks() const {
  const auto ended = [this]() -> std::uint64_t {
    const auto stat = read_head(proc_ / "self" / "stat");
    if (!stat) return 0;
    const auto own = parse_pid_stat(*stat);
    const auto all = parse_pid_stat_with_children(*stat);
    return own && all ? *all - *own : 0;
  };
  std::uint64_t sum = 0;
  for (int attempt = 0; attempt < 3; ++attempt) {
    const auto before = ended();
    int budget = most_processes;
    sum = ticks_of_tree(proc_ / "self", budget);
    if (ended() == before) break;
  }
  return sum;
}

void proc_sampler::measure(const reading& now) {
  const auto at = now_();
  if (before_ && at - before_at_ < shortest_window) return;
  if (before_) {
    const auto others = [](const reading& of) {
      return cpu_ticks{of.cpu.busy - std::min(of.cpu.busy, of.own_ticks), of.cpu.total};
    };
    // What went back tells nothing: an invented 0 would make the next sample look like a jump.
    const bool known = now.own_ticks >= before_->own_ticks;
    cpu_usage_ = known ? busy_percent(others(*before_), others(now)) : std::nullopt;
  }
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
  measure(*now);
  if (cpu_usage_) put("cpu_usage", *cpu_usage_);
  return metrics;
}

boost::asio::awaitable<base::result<messages::metric_set>> proc_sampler::sample() {
  co_return sample_now();
}

}  // namespace fleet::agent::metrics
