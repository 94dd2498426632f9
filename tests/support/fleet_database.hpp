// Databases with the project's schema on the tests' shared PostgreSQL.
#pragma once
#include <string>

namespace fleet::test {

/// A new database with every migration applied; returns its URL. One of that name is replaced.
std::string fleet_database(const std::string& name);

}  // namespace fleet::test
