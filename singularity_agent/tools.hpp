// What carries changes out and what measures, made from the settings.
#pragma once
#include <boost/asio/any_io_executor.hpp>
#include <memory>
#include <string>

#include "common/base/error.hpp"
#include "common/postgres/settings.hpp"
#include "common/telemetry/log.hpp"
#include "common/telemetry/metrics.hpp"
#include "singularity_agent/execution/execution_flow.hpp"
#include "singularity_agent/execution/executor.hpp"
#include "singularity_agent/execution/rollback_worker.hpp"
#include "singularity_agent/metrics/sampler.hpp"
#include "singularity_agent/proposals/proposal_queue.hpp"
#include "singularity_agent/settings.hpp"

namespace fleet::agent {

std::unique_ptr<execution::executor> make_executor(boost::asio::any_io_executor io, const agent_settings& settings);
/// Empty where changes are carried out by a command: what they do to which files is its matter.
proposals::proposal_queue::preview_of make_preview(const agent_settings& settings);
/// The machine's own figures, and the configured command and URL; a source's trouble goes to `log`. Error
/// `invalid_input`: `metrics.url` or `metrics.proc`.
base::result<std::unique_ptr<metrics::composite_sampler>> make_sampler(
    const agent_settings& settings, const telemetry::logger& log = telemetry::logger::none());
execution::rollback_options rollback_options_of(const agent_settings& settings);
/// Counts and times what ends in `registry`.
execution::flow_options flow_options_of(const agent_settings& settings, telemetry::metrics& registry);
/// Where this process runs, for the one that finds the instance taken.
std::string place_of(const agent_settings& settings);
/// How long its claim on the instance holds without being renewed.
std::chrono::milliseconds lease_of(const agent_settings& settings);
postgres::settings database_of(const agent_settings& settings);
/// Of the connection that LISTENs.
postgres::settings listen_of(const agent_settings& settings);

}  // namespace fleet::agent
