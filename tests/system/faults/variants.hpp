// Deliberately broken variants: they show that the checker can fail, and that each invariant sees what it is there for.
#pragma once
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "tests/system/faults/schedule.hpp"

namespace fleet::test::faults {

/// `variants/NAME.sql`. Its header says `-- faults: a, b`, `-- caught by: x, y` (the invariants that are there for it)
/// and, where the agents' environment breaks it, `-- environment: NAME=VALUE`.
struct variant {
  std::string name;
  std::string sentence;
  std::string sql;
  std::vector<fault_kind> faults;
  std::vector<std::string> caught_by;
  std::map<std::string, std::string> environment;
};

std::vector<variant> load_variants(const std::string& folder);

struct variant_outcome {
  std::string error;             ///< it could not be installed, or not be run: nothing is shown by it
  std::set<std::string> broken;  ///< invariants
  bool caught = false;           ///< one of those that are there for it is among them
};

variant_outcome try_variant(const variant& what, std::uint64_t seed);

/// Each of them (with a name: that one), and a table at the end. Returns how many were not caught.
int try_variants(const std::string& only, std::uint64_t seed);

}  // namespace fleet::test::faults
