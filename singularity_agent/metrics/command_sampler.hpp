// Metrics from a command of the operator's that prints one JSON object.
#pragma once
#include <chrono>
#include <string>

#include "singularity_agent/metrics/sampler.hpp"

namespace fleet::agent::metrics {

struct command_sampler_options {
  std::string command;            ///< run by `sh -c`
  std::string working_directory;  ///< empty: the agent's own
  std::chrono::milliseconds timeout{5'000};
};

/// Errors: `unavailable` (not started, or another exit than 0), `timeout`, `invalid_input` (what it printed).
class command_sampler final : public sampler {
 public:
  explicit command_sampler(command_sampler_options options);
  boost::asio::awaitable<base::result<messages::metric_set>> sample() override;

 private:
  command_sampler_options options_;
};

}  // namespace fleet::agent::metrics
