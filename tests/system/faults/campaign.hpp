// One run: a fleet, its load, a schedule of faults, and the check at the end.
#pragma once
#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "tests/system/faults/checker.hpp"
#include "tests/system/faults/schedule.hpp"

namespace fleet::test::faults {

struct campaign_options {
  std::uint64_t seed = 1;
  int minutes = 0;  ///< 0: one short round of `kinds`; otherwise rounds of them for so long
  std::vector<fault_kind> kinds = every_fault();
  std::string mutation = {};  ///< see world_options
  std::map<std::string, std::string> agent_environment = {};
  std::chrono::seconds settle{90};  ///< the longest that everything may take to come to rest at the end
};

struct campaign_result {
  std::vector<violation> violations;
  std::string explanation;  ///< of the violations
  std::string report;       ///< figures
  std::string directory;    ///< kept where something was violated: history, logs, repositories
};

/// Blocking, minutes. Prints what it does as it goes.
campaign_result run_campaign(const campaign_options& options);

/// The suite's own files: FLEET_SOURCE_DIR of the environment, or of the build.
std::string suite_folder();

}  // namespace fleet::test::faults
