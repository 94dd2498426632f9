#include "centralcloud_daemon/enrolment_repository.hpp"

#include <utility>

#include "common/postgres/login.hpp"

namespace fleet::central {

using boost::asio::awaitable;

awaitable<std::string> enroll(postgres::connection& connection, base::instance_id instance, std::string password) {
  const auto verifier = postgres::scram_verifier(password);
  auto arguments = postgres::make_params(instance.str(), verifier);
  const auto rows = co_await connection.query("select quantumflow.enroll($1, $2) as role", std::move(arguments));
  co_return rows.single().get<std::string>("role");
}

awaitable<std::string> rotate_password(postgres::connection& connection, base::instance_id instance,
                                       std::string password) {
  const auto verifier = postgres::scram_verifier(password);
  auto arguments = postgres::make_params(instance.str(), verifier);
  const auto rows =
      co_await connection.query("select quantumflow.rotate_password($1, $2) as role", std::move(arguments));
  co_return rows.single().get<std::string>("role");
}

awaitable<std::string> unenroll(postgres::connection& connection, base::instance_id instance) {
  auto arguments = postgres::make_params(instance.str());
  const auto rows = co_await connection.query("select quantumflow.unenroll($1) as role", std::move(arguments));
  co_return rows.single().get<std::string>("role");
}

awaitable<std::string> current_database(postgres::connection& connection) {
  const auto rows = co_await connection.query("select current_database()::text as name");
  co_return rows.single().get<std::string>("name");
}

}  // namespace fleet::central
