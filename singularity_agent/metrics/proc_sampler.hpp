// `cpu_usage` and `memory` from the kernel: of the machine, of one process, or of one control group.
#pragma once
#include <chrono>
#include <filesystem>
#include <functional>
#include <optional>
#include <variant>

#include "singularity_agent/metrics/proc_text.hpp"
#include "singularity_agent/metrics/sampler.hpp"

namespace fleet::agent::metrics {

struct whole_machine {};
struct one_process {
  int pid = 0;
};
struct control_group {
  std::filesystem::path directory;  ///< cgroup v2, below /sys/fs/cgroup
};
using sampled_subject = std::variant<whole_machine, one_process, control_group>;

/// `cpu_usage`: percent of all the machine's processors over a second or more: since the last sample that is so long
/// ago; sooner, that sample's figure once more (left out where there is none). Of the machine without what this process
/// and its children have taken, and theirs: carrying out and verifying a change is not the change's load. Left out
/// where that cannot be told, because a child has left a process of its own behind. `memory`: MiB in use (machine:
/// total − available; process: resident; group: current). Errors: `unavailable`: the process or group is gone.
class proc_sampler final : public sampler {
 public:
  using clock = std::function<std::chrono::steady_clock::time_point()>;
  explicit proc_sampler(sampled_subject of, std::filesystem::path proc = "/proc",
                        clock now = std::chrono::steady_clock::now);
  boost::asio::awaitable<base::result<messages::metric_set>> sample() override;
  /// The same without waiting: these files never block.
  base::result<messages::metric_set> sample_now();

 private:
  struct reading {
    cpu_ticks cpu;
    std::uint64_t memory_bytes = 0;
    std::uint64_t own_ticks = 0;  ///< of the machine's busy ones
  };
  base::result<reading> read_now() const;
  std::uint64_t own_ticks() const;
  std::uint64_t ticks_of_tree(const std::filesystem::path& process, int& budget) const;
  void measure(const reading& now);
  base::result<reading> read_process(const one_process& of, cpu_ticks machine) const;
  static base::result<reading> read_group(const control_group& of, cpu_ticks machine);

  sampled_subject of_;
  std::filesystem::path proc_;
  clock now_;
  std::optional<reading> before_;
  std::chrono::steady_clock::time_point before_at_;
  std::optional<double> cpu_usage_;
};

}  // namespace fleet::agent::metrics
