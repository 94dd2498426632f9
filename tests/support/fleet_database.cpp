#include "tests/support/fleet_database.hpp"

#include <boost/json/parse.hpp>
#include <cstdlib>
#include <stdexcept>
#include <string>

#include "tests/support/daemons.hpp"
#include "tests/support/private_postgres.hpp"

namespace fleet::test {

std::string fleet_database(const std::string& name) {
  auto& server = private_postgres::shared();
  // The schema is made once and copied: a migration run takes longer than most tests.
  static const bool made = [&] {
    const auto url = server.create_database("fleet_template");
    const auto command =
        "'" + daemon_binary("centralcloud_daemon") + "' migrate --database.url '" + url + "' > /dev/null";
    if (std::system(command.c_str()) != 0) throw std::runtime_error("failed: " + command);
    return true;
  }();
  static_cast<void>(made);
  server.psql("drop database if exists " + name + " with (force)");
  // Not the default way, by WAL: the copy of a sequence then goes back after a crash (PostgreSQL 15 logs the next
  // values only when those that it logged in the template are used up), and tests kill this server.
  server.psql("create database " + name + " template fleet_template strategy file_copy");
  return server.url(name);
}

std::string agent_url(const std::string& database, const std::string& instance) {
  const auto& server = private_postgres::shared();
  const auto answer = shell("'" + daemon_binary("centralcloud_daemon") + "' enroll '" + instance +
                            "' --json --database.url '" + server.url(database) + "'");
  return boost::json::parse(answer).at("database_url").as_string().c_str();
}

std::string coordinator_url(const std::string& database) {
  auto& server = private_postgres::shared();
  static const bool made = [&] {
    server.psql("create role coordinator login password 'coordinator' in role centralcloud");
    return true;
  }();
  static_cast<void>(made);
  return server.url(database, "coordinator") + "&password=coordinator";
}

}  // namespace fleet::test
