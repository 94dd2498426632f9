// A short run of the suite: one round of 15 faults (and of calm), and every invariant.
#include <catch2/catch.hpp>

#include "tests/system/faults/campaign.hpp"

using namespace fleet::test::faults;

TEST_CASE("faults: a short run breaks no invariant") {
  campaign_options options;
  options.seed = 20;
  // What fits into a test run; a run with --seed or --minutes does all.
  options.kinds = {fault_kind::kill_daemon,       fault_kind::freeze_daemon,
                   fault_kind::kill_postgres,     fault_kind::black_hole,
                   fault_kind::half_open,         fault_kind::drop_commit_reply,
                   fault_kind::quiet_outage,      fault_kind::spool_power_cut,
                   fault_kind::sighup_storm,      fault_kind::poison_burst,
                   fault_kind::proposals_at_once, fault_kind::calm,
                   fault_kind::kill_coordinator,  fault_kind::schema_behind,
                   fault_kind::clock_jump,        fault_kind::flood};
  const auto result = run_campaign(options);
  WARN(result.report);
  INFO(result.explanation << "kept: " << result.directory);
  CHECK(result.violations.empty());
}
