// What `doctor` looks at in the database. Nothing is changed there.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <string>
#include <vector>

#include "common/base/finding.hpp"
#include "common/base/time.hpp"
#include "common/postgres/settings.hpp"

namespace fleet::quantumflow {

struct database_checks {
  postgres::settings database;
  postgres::settings listen;    ///< of the session that is told of new messages
  std::string instance = {};    ///< the agent's; empty: a coordinator
  std::size_t connections = 0;  ///< that the daemon opens at most
  std::chrono::seconds old_snapshot{300};
  std::chrono::milliseconds listen_limit{2'000};
  const base::clock* clock = &base::system_clock();
};

/// One finding a check, in the order in which they depend on each other; what needs a schema is left out where there is
/// none that fits. Never throws for what the database does: that is a finding.
boost::asio::awaitable<std::vector<base::finding>> examine_database(database_checks what);

/// How this machine's clock may differ from the database's.
base::finding grade_clock(std::chrono::milliseconds ahead_of_database);

}  // namespace fleet::quantumflow
