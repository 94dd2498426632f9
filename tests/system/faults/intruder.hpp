// What an instance's database role must not be able to do, tried all the time.
#pragma once
#include <string>
#include <vector>

namespace fleet::test::faults {

struct attempt {
  std::string what;  ///< in words
  std::string sql;
};

/// As agent-1, mostly at the cost of agent-0. `proposal`: one that there is, or was. Each must be refused, or show
/// nothing.
std::vector<attempt> attempts(const std::string& proposal);

/// What agent-1 may do: shows that a refusal is one.
attempt own_right();

}  // namespace fleet::test::faults
