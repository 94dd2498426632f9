// A coordinator's database as it is after long work.
#pragma once
#include <string>

#include "tests/support/daemons.hpp"

namespace fleet::bench {

struct seeded {
  std::string rolled_back;    ///< a proposal with a breach
  std::string longest;        ///< one with 1000 samples
  std::string in_the_middle;  ///< of the list of all
};

/// Through the functions that the coordinator calls, one after the other for each proposal: its votes, decision,
/// change, samples, rollback; and instances that are subscribed and seen just now, dead letters to come, patterns,
/// profiles.
seeded seed(const test::daemon_fleet& fleet, int proposals, int instances);

}  // namespace fleet::bench
