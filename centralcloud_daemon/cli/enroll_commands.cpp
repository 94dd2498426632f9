#include <fmt/format.h>
#include <sys/random.h>

#include <array>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <fstream>
#include <ostream>
#include <stdexcept>

#include "centralcloud_daemon/cli/commands.hpp"
#include "centralcloud_daemon/cli/session.hpp"
#include "centralcloud_daemon/enrolment_repository.hpp"
#include "common/base/text.hpp"
#include "common/postgres/error.hpp"
#include "common/postgres/login.hpp"

namespace fleet::central::cli {
namespace {

using boost::asio::awaitable;
using daemon::invocation;

constexpr std::size_t least_password_bytes = 16;

/// 192 random bits in hexadecimal digits: nothing in it needs quoting anywhere.
std::string new_password() {
  std::array<unsigned char, 24> bytes{};
  if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()))
    throw std::runtime_error("the system gives no random bytes");
  std::string text;
  for (const auto byte : bytes) text += fmt::format("{:02x}", byte);
  return text;
}

base::result<std::string> password_for(const invocation& call) {
  if (!call.has("password-file")) return new_password();
  const auto file = call.option("password-file");
  std::ifstream in(file);
  std::string line;
  if (!in || !std::getline(in, line))
    return base::make_error(base::error_kind::invalid_input, "--password-file: cannot read a line of " + file);
  const std::string password(base::trim(line));
  if (password.size() < least_password_bytes || base::has_control_characters(password)) {
    return base::make_error(base::error_kind::invalid_input,
                            fmt::format("--password-file: expected a first line of at least {} characters in {}",
                                        least_password_bytes, file));
  }
  return password;
}

void print_login(const invocation& call, const std::string& instance, const std::string& role, const std::string& url) {
  if (call.json) {
    boost::json::object answer;
    answer["instance_id"] = instance;
    answer["role"] = role;
    answer["database_url"] = url;
    *call.out << boost::json::serialize(answer) << '\n';
    return;
  }
  *call.out << "# For the agent's configuration. The password is shown this once.\n[instance]\nid = " << instance
            << "\n[database]\nurl = " << url << '\n';
}

awaitable<int> remove(const invocation& call, postgres::connection& connection) {
  const base::instance_id instance(call.positionals.front());
  const auto role = co_await unenroll(connection, instance);
  if (call.json) {
    boost::json::object answer;
    answer["instance_id"] = instance.str();
    answer["role"] = role;
    answer["removed"] = true;
    *call.out << boost::json::serialize(answer) << '\n';
  } else {
    *call.out << "role " << role << " is gone; messages to " << instance.str() << " stay\n";
  }
  co_return daemon::exit_done;
}

awaitable<int> give_login(const invocation& call, postgres::connection& connection, std::string password) {
  const base::instance_id instance(call.positionals.front());
  postgres::login as;
  as.database = co_await current_database(connection);
  as.password = password;
  const bool rotate = call.has("rotate-password");
  if (rotate) {
    as.user = co_await rotate_password(connection, instance, std::move(password));
  } else {
    as.user = co_await enroll(connection, instance, std::move(password));
  }
  print_login(call, instance.str(), as.user, postgres::login_url(connection.options().url, as));
  co_return daemon::exit_done;
}

/// What was refused, in the words of the database, and what to do about it.
std::string refusal(const postgres::sql_error& error) {
  if (error.sqlstate() == "42501") {
    return error.message() +
           ": name by PGFLOW_DATABASE_URL a superuser, or a role with CREATEROLE that is a member of quantumflow_owner";
  }
  return error.message() + (error.hint().empty() ? "" : ": " + error.hint());
}

awaitable<int> enroll_or_refuse(const invocation& call, postgres::connection& connection, std::string password) {
  std::string refused;
  try {
    if (call.has("remove")) co_return co_await remove(call, connection);
    co_return co_await give_login(call, connection, std::move(password));
  } catch (const postgres::sql_error& error) {
    // Classes 42 and 22 are the database's answers to what was asked, and 2BP01 says what still needs the role.
    const bool answered =
        error.sqlstate().starts_with("42") || error.sqlstate().starts_with("22") || error.sqlstate() == "2BP01";
    if (!answered) throw;
    refused = refusal(error);
  }
  co_return refuse(call, refused);
}

int enroll_command(const invocation& call) {
  const auto usage = [&call](const std::string& what) {
    refuse(call, what);
    return daemon::exit_usage;
  };
  const auto& instance = call.positionals.front();
  if (!base::is_valid_id(instance)) return usage("INSTANCE: expected 1 to 200 bytes without control characters");
  if (call.has("remove") && (call.has("rotate-password") || call.has("password-file")))
    return usage("--remove goes with no other option");
  const auto password = call.has("remove") ? base::result<std::string>(std::string()) : password_for(call);
  if (!password) return usage(password.error().message);
  return with_database(call, [&](postgres::connection& connection, const settings&) {
    return enroll_or_refuse(call, connection, *password);
  });
}

}  // namespace

void add_enroll_commands(daemon::command_table& to) {
  daemon::subcommand one;
  one.name = "enroll";
  one.operands = "INSTANCE";
  one.min_operands = one.max_operands = 1;
  one.sentence = "Gives an instance its own database role and prints what its agent's configuration needs.";
  one.handler = enroll_command;
  one.prints_data = true;
  one.options = {{"rotate-password", "", "Gives an enrolled instance a new password."},
                 {"password-file", "FILE", "Takes the password from the file's first line; random otherwise."},
                 {"remove", "", "Takes the role away again; the instance's messages stay."}};
  to.add(one);
}

}  // namespace fleet::central::cli
