// Handing proposals in at three agents, all at once, and waiting until each is settled.
#pragma once
#include <map>
#include <memory>
#include <string>

#include "tests/support/daemons.hpp"

namespace fleet::bench {

/// Three agents with policy voters, one coordinator, all with their default settings as far as speed is concerned.
std::unique_ptr<test::daemon_fleet> make_fleet(const std::string& name);

struct load_run {
  int proposals = 0;
  std::map<std::string, double> sent_at;      ///< proposal → when its POST began, in seconds since the epoch
  std::map<std::string, double> answered_at;  ///< proposal → when the answer 201 was there
  std::map<std::string, std::size_t> agents;  ///< proposal → the agent that took it
  double settled_at = 0;                      ///< every one applied and every sample of it with the coordinator
  std::map<std::string, double> cpu_seconds;  ///< by process, over the run
  std::int64_t commits = 0;                   ///< of the database, over the run
};

/// Throws where an agent refuses one, or they are not settled in time (a minute and half a second for each).
load_run run_load(test::daemon_fleet& fleet, int proposals);

}  // namespace fleet::bench
