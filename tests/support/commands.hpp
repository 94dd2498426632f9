// The daemons' command lines as people and scripts run them.
#pragma once
#include <boost/json/value.hpp>
#include <string>

#include "tests/support/daemons.hpp"

namespace fleet::test {

struct command_result {
  int code = -1;
  std::string out;
  std::string err;

  /// What it printed, as JSON. Throws, with all of it, where it is none.
  boost::json::value json() const;
  /// All of it, for a failing test.
  std::string all() const;
};

/// Runs a command with sh.
command_result run_command(const std::string& command);
/// `singularity_agent WHAT` with the agent's configuration; `input` is its standard input.
command_result run_agent_command(const agent_process& agent, const std::string& what, const std::string& input = {});
/// `centralcloud_daemon WHAT` with the first coordinator's configuration.
command_result run_coordinator_command(const daemon_fleet& fleet, const std::string& what);

}  // namespace fleet::test
