// The agent's command line: the table of subcommands.
#pragma once
#include "common/daemon/service.hpp"

namespace fleet::agent::cli {

daemon::command_table make_commands();

void add_doctor(daemon::command_table& to, const daemon::service& what);
void add_proposal_commands(daemon::command_table& to);  ///< propose, proposals, proposal, report-metrics
void add_fleet_commands(daemon::command_table& to);     ///< votes, vote, pattern, suggest, profiles

}  // namespace fleet::agent::cli
