// A short run of the suite: one round of most faults, and every invariant.
#include <catch2/catch.hpp>

#include "tests/system/faults/campaign.hpp"

using namespace fleet::test::faults;

TEST_CASE("faults: a short run breaks no invariant") {
  campaign_options options;
  options.seed = 20;
  const auto result = run_campaign(options);
  WARN(result.report);
  INFO(result.explanation << "kept: " << result.directory);
  CHECK(result.violations.empty());
}
