// The login roles of the instances.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <string>

#include "common/base/ids.hpp"
#include "common/postgres/connection.hpp"

namespace fleet::central {

/// All return the role's name and throw `postgres::sql_error`: insufficient privilege unless the session is a
/// superuser's, or of a member of quantumflow_owner with CREATEROLE.
boost::asio::awaitable<std::string> enroll(postgres::connection& connection, base::instance_id instance,
                                           std::string password);
boost::asio::awaitable<std::string> rotate_password(postgres::connection& connection, base::instance_id instance,
                                                    std::string password);
/// Its messages stay.
boost::asio::awaitable<std::string> unenroll(postgres::connection& connection, base::instance_id instance);

boost::asio::awaitable<std::string> current_database(postgres::connection& connection);

}  // namespace fleet::central
