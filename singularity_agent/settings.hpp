// The agent's settings: its part of the schema, and the values that its parts are made with.
#pragma once
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/base/error.hpp"
#include "common/base/ids.hpp"
#include "common/config/core_settings.hpp"
#include "common/config/values.hpp"
#include "singularity_agent/execution/rollback_steps.hpp"
#include "singularity_agent/metrics/prometheus_text.hpp"
#include "singularity_agent/proposals/proposal_scorer.hpp"
#include "singularity_agent/voting/policy.hpp"

namespace fleet::agent {

/// Every key the agent knows: the core ones and its own.
std::shared_ptr<const config::schema> agent_schema();

enum class voter_mode { policy, command, manual };
enum class executor_mode { git, command };

struct voter_settings {
  voter_mode mode = voter_mode::policy;
  std::string command;
  std::chrono::milliseconds command_timeout{};
  voting::policy_settings policy;
};

struct executor_settings {
  executor_mode mode = executor_mode::git;
  std::string repository;
  std::string branch;
  std::string command;
  std::string verify_command;
  std::chrono::milliseconds verify_timeout{};
  std::chrono::milliseconds command_timeout{};
  execution::step_commands steps;
  std::int64_t observation_window_seconds = 0;
};

struct metrics_settings {
  std::string proc;  ///< "machine", "none", "pid:N", or the directory of a control group
  std::string command;
  std::string url;
  agent::metrics::metric_mapping url_map;
  std::chrono::milliseconds timeout{};
  std::chrono::milliseconds interval{};
};

struct proposals_settings {
  int max_in_flight = 0;
  int max_pending = 0;
  agent::proposals::cost_factors cost_factors;
};

struct api_settings {
  std::string socket;
  std::string listen;
  std::string token_file;
};

struct spool_settings {
  std::string path;  ///< "auto"; empty: none
  std::uint64_t max_bytes = 0;
};

struct agent_settings {
  base::instance_id instance;
  std::vector<std::string> roles;
  std::chrono::milliseconds heartbeat{};
  config::core_settings core;
  api_settings api;
  spool_settings spool;
  voter_settings voter;
  executor_settings executor;
  metrics_settings metrics;
  proposals_settings proposals;
};

/// Error `invalid_input` where settings that are right by themselves do not fit together (a command voter without a
/// command); names the keys.
base::result<agent_settings> settings_from(const config::values& all);

/// Within that time a step of an execution, a part of a rollback or a command's vote has ended, whatever it waited for:
/// the time-outs of all that it may hold, one after the other. A worker that takes longer is stuck.
std::chrono::milliseconds longest_step(const agent_settings& settings);

/// Where the spool lies ("auto" resolved); empty where there is none.
std::string spool_path_of(const agent_settings& settings);

/// The voter's policy alone: what may change while the agent runs.
base::result<voting::policy_settings> policy_from(const config::values& all);

}  // namespace fleet::agent
