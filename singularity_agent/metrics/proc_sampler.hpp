// `cpu_usage` and `memory` from the kernel: of the machine, of one process, or of one control group.
#pragma once
#include <filesystem>
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

/// `cpu_usage`: percent of all the machine's processors since the sample before (left out of the first one, which has
/// nothing to compare with); `memory`: MiB in use (machine: total − available; process: resident; group: current).
/// Errors: `unavailable`: the process or group is gone.
class proc_sampler final : public sampler {
 public:
  explicit proc_sampler(sampled_subject of, std::filesystem::path proc = "/proc");
  boost::asio::awaitable<base::result<messages::metric_set>> sample() override;
  /// The same without waiting: these files never block.
  base::result<messages::metric_set> sample_now();

 private:
  struct reading {
    cpu_ticks cpu;
    std::uint64_t memory_bytes = 0;
  };
  base::result<reading> read_now() const;
  base::result<reading> read_process(const one_process& of, cpu_ticks machine) const;
  static base::result<reading> read_group(const control_group& of, cpu_ticks machine);

  sampled_subject of_;
  std::filesystem::path proc_;
  std::optional<cpu_ticks> before_;
};

}  // namespace fleet::agent::metrics
