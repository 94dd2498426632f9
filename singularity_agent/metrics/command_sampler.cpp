#include "singularity_agent/metrics/command_sampler.hpp"

#include "singularity_agent/execution/child_process.hpp"
#include "singularity_agent/metrics/metrics_json.hpp"

namespace fleet::agent::metrics {

command_sampler::command_sampler(command_sampler_options options) : options_(std::move(options)) {}

boost::asio::awaitable<base::result<messages::metric_set>> command_sampler::sample() {
  async::process_spec spec;
  spec.shell_command = options_.command;
  spec.working_directory = options_.working_directory;
  spec.timeout = options_.timeout;
  auto ended = co_await execution::try_run(std::move(spec));
  if (!ended) co_return ended.error();
  if (!ended->ok())
    co_return base::make_error(ended->timed_out ? base::error_kind::timeout : base::error_kind::unavailable,
                               "metrics.command: " + ended->failure());
  co_return parse_metrics_json(ended->standard_output, "metrics.command");
}

}  // namespace fleet::agent::metrics
