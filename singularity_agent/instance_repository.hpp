// The SQL of this instance's place in the fleet.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <string>
#include <vector>

#include "common/base/ids.hpp"
#include "common/postgres/connection.hpp"

namespace fleet::agent {

/// Tells the coordinator that the instance is alive and what it takes part in. Throws `postgres::sql_error`.
boost::asio::awaitable<void> send_heartbeat(postgres::connection& on, base::instance_id self,
                                            std::vector<std::string> roles);

}  // namespace fleet::agent
