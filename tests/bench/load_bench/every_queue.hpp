// Work for the queues that proposals alone leave empty, and what a message of each queue waits.
#pragma once
#include "tests/bench/load_bench/load.hpp"

namespace fleet::bench {

/// After a run: one in ten of its changes does harm and is rolled back, as many patterns are reported by all three
/// agents until they are the fleet's, and as many safety profiles are sent to all. Throws where that does not come to
/// its end within a minute and half a second for each.
void use_every_queue(test::daemon_fleet& fleet, const load_run& run);

/// From publication to the commit that settled it, of every queue that the fleet reads, as the daemons' own histograms
/// have it: percentiles are the upper ends of buckets.
void print_waits(const test::daemon_fleet& fleet);

}  // namespace fleet::bench
