// The figures of a run.
#pragma once
#include <cstdint>
#include <map>
#include <string>

#include "tests/system/faults/sql_session.hpp"

namespace fleet::test::faults {

struct report_parts {
  const std::map<std::string, int>& injected;
  const std::map<std::string, std::string>& skipped;
  std::size_t invariants = 0;
  const std::map<std::string, std::size_t>& violations;  ///< by invariant, of those that are broken
  std::uint64_t connections = 0;
  std::uint64_t dropped_commits = 0;
};

/// Reads the facts that the checker collected.
std::string report(const report_parts& of, sql_session& admin);

}  // namespace fleet::test::faults
