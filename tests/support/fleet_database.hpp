// Databases with the project's schema on the tests' shared PostgreSQL.
#pragma once
#include <string>

namespace fleet::test {

/// A new database with every migration applied; returns its URL. One of that name is replaced.
std::string fleet_database(const std::string& name);

/// Enrolls an instance in that database and returns the URL of its role.
std::string agent_url(const std::string& database, const std::string& instance);
/// The URL of a role that belongs to `centralcloud`.
std::string coordinator_url(const std::string& database);

}  // namespace fleet::test
