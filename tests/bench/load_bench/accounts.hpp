// What the databases and repositories say about a run.
#pragma once
#include "tests/bench/load_bench/load.hpp"

namespace fleet::bench {

/// Times from handing in to each stage, the delay of each queue, and what the run cost.
void print_delays(const test::daemon_fleet& fleet, const load_run& run);
/// Prints what must be so many and is not; true where all is as it must be.
bool print_accounts(const test::daemon_fleet& fleet, const load_run& run);
/// The statements that the server spent most time with; needs pg_stat_statements.
void print_statements(const test::daemon_fleet& fleet);

}  // namespace fleet::bench
