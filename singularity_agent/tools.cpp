#include "singularity_agent/tools.hpp"

#include <unistd.h>

#include <algorithm>
#include <boost/asio/ip/host_name.hpp>
#include <charconv>

#include "singularity_agent/execution/change_preview.hpp"
#include "singularity_agent/execution/command_executor.hpp"
#include "singularity_agent/execution/git_executor.hpp"
#include "singularity_agent/metrics/command_sampler.hpp"
#include "singularity_agent/metrics/proc_sampler.hpp"
#include "singularity_agent/metrics/url_sampler.hpp"

namespace fleet::agent {

std::unique_ptr<execution::executor> make_executor(boost::asio::any_io_executor io, const agent_settings& settings) {
  const auto& how = settings.executor;
  if (how.mode == executor_mode::command) {
    execution::command_executor_options options;
    options.command = how.command;
    options.working_directory = how.repository;
    options.timeout = how.verify_timeout;
    options.instance = settings.instance.str();
    return std::make_unique<execution::command_executor>(std::move(io), std::move(options));
  }
  execution::git_executor_options options;
  options.repository = how.repository;
  options.branch = how.branch;
  options.verify_command = how.verify_command;
  options.verify_timeout = how.verify_timeout;
  options.git_timeout = how.command_timeout;
  options.instance = settings.instance.str();
  return std::make_unique<execution::git_executor>(std::move(io), std::move(options));
}

proposals::proposal_queue::preview_of make_preview(const agent_settings& settings) {
  if (settings.executor.mode != executor_mode::git) return {};
  constexpr std::chrono::milliseconds patience{5'000};  // nothing depends on it
  execution::git_runner_options options;
  options.repository = settings.executor.repository;
  options.timeout = std::min(settings.executor.command_timeout, patience);
  return [preview = execution::change_preview(execution::git_runner(std::move(options)))](boost::json::object change) {
    return preview.of(std::move(change));
  };
}

namespace {

base::result<metrics::sampled_subject> subject_of(const std::string& text) {
  if (text == "machine") return metrics::sampled_subject(metrics::whole_machine{});
  if (text.starts_with('/')) return metrics::sampled_subject(metrics::control_group{text});
  int pid = 0;
  const auto* const end = text.data() + text.size();
  if (text.starts_with("pid:") && std::from_chars(text.data() + 4, end, pid).ptr == end && pid > 0)
    return metrics::sampled_subject(metrics::one_process{pid});
  return base::invalid_fields({{"metrics.proc", "expected machine, none, pid:N or a control group's directory"}});
}

}  // namespace

base::result<std::unique_ptr<metrics::composite_sampler>> make_sampler(const agent_settings& settings,
                                                                       const telemetry::logger& log) {
  auto all = std::make_unique<metrics::composite_sampler>(log);
  if (settings.metrics.proc != "none") {
    const auto subject = subject_of(settings.metrics.proc);
    if (!subject) return subject.error();
    all->add("proc", std::make_unique<metrics::proc_sampler>(*subject));
  }
  if (!settings.metrics.url.empty()) {
    const auto url = metrics::metrics_url::parse(settings.metrics.url);
    if (!url) return url.error();
    metrics::url_sampler_options options;
    options.url = *url;
    options.mapping = settings.metrics.url_map;
    options.timeout = settings.metrics.timeout;
    all->add("url", std::make_unique<metrics::url_sampler>(std::move(options)));
  }
  if (!settings.metrics.command.empty()) {
    metrics::command_sampler_options options;
    options.command = settings.metrics.command;
    options.working_directory = settings.executor.repository;
    options.timeout = settings.metrics.timeout;
    all->add("command", std::make_unique<metrics::command_sampler>(std::move(options)));
  }
  return all;
}

execution::rollback_options rollback_options_of(const agent_settings& settings) {
  execution::rollback_options options;
  options.commands = settings.executor.steps;
  options.working_directory = settings.executor.repository;
  options.command_timeout = settings.executor.command_timeout;
  return options;
}

postgres::settings database_of(const agent_settings& settings) {
  postgres::settings how;
  how.url = settings.core.database_url;
  how.application_name = "singularity_agent " + settings.instance.str();
  how.connect_timeout = settings.core.connect_timeout;
  how.statement_timeout = settings.core.statement_timeout;
  return how;
}

postgres::settings listen_of(const agent_settings& settings) {
  auto how = database_of(settings);
  how.url = settings.core.listen_url;
  return how;
}

execution::flow_options flow_options_of(const agent_settings& settings, telemetry::metrics& registry) {
  execution::flow_options options;
  options.observation_window_seconds = settings.executor.observation_window_seconds;
  options.sample_interval = settings.metrics.interval;
  options.ended = [&registry](std::string_view outcome, std::chrono::nanoseconds took) {
    registry.counter_of("singularity_executions_total", {{"outcome", std::string(outcome)}}).increment();
    if (outcome == "applied")
      registry.histogram_of("singularity_execution_seconds").observe(std::chrono::duration<double>(took).count());
  };
  return options;
}

std::string place_of(const agent_settings& settings) {
  boost::system::error_code ignored;
  return "process " + std::to_string(::getpid()) + " on " + boost::asio::ip::host_name(ignored) + " with socket " +
         settings.api.socket;
}

/// Three heartbeats may be missed, or fifteen seconds.
std::chrono::milliseconds lease_of(const agent_settings& settings) {
  return std::max<std::chrono::milliseconds>(3 * settings.heartbeat, std::chrono::seconds(15));
}

}  // namespace fleet::agent
