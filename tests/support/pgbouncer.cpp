#include "tests/support/pgbouncer.hpp"

#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <vector>

#include "tests/support/daemons.hpp"
#include "tests/support/private_postgres.hpp"

namespace fleet::test {

namespace {

constexpr const char* looking_up_password = "looks-up-roles";

/// The role that asks for other roles' secrets, here in every database.
void make_lookup_role(const private_postgres& server) {
  server.psql(
      fmt::format("do $$ begin if to_regrole('pgbouncer') is null then "
                  "create role pgbouncer superuser login password '{}'; end if; end $$",
                  looking_up_password));
}

}  // namespace

pgbouncer::pgbouncer(const private_postgres& before, int pool_size) : port_(free_port()) {
  make_lookup_role(before);
  std::string pattern = (std::filesystem::temp_directory_path() / "fleet_pgbouncer_XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("cannot make " + pattern);
  directory_ = pattern;
  std::ofstream(directory_ + "/users") << fmt::format("\"pgbouncer\" \"{}\"\n", looking_up_password);
  std::ofstream(directory_ + "/pgbouncer.ini") << fmt::format(
      "[databases]\n* = host=127.0.0.1 port={}\n"
      "[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {}\nunix_socket_dir =\n"
      "pool_mode = transaction\ndefault_pool_size = {}\nmax_client_conn = 1000\n"
      "auth_type = scram-sha-256\nauth_file = {}/users\nauth_user = pgbouncer\n"
      "auth_query = select rolname, rolpassword from pg_catalog.pg_authid where rolname = $1 and rolcanlogin\n"
      "server_tls_sslmode = disable\n",
      before.port(), port_, pool_size, directory_);
  const auto launcher = before.launcher();
  if (!before.user().empty()) shell("chown -R " + before.user() + " '" + directory_ + "'");
  std::vector<std::string> arguments(launcher.begin() + 1, launcher.end());
  arguments.insert(arguments.end(), {"/usr/sbin/pgbouncer", directory_ + "/pgbouncer.ini"});
  process_ = std::make_unique<daemon_process>("/usr/bin/" + launcher.front(), arguments, directory_ + "/log");
  process_->start();
  const std::string ask = fmt::format("/usr/lib/postgresql/15/bin/pg_isready -q -h 127.0.0.1 -p {}", port_);
  const bool answers = wait_until([&] { return std::system(ask.c_str()) == 0; });
  if (!answers) throw std::runtime_error("pgbouncer does not answer:\n" + log());
}

pgbouncer::~pgbouncer() {
  process_.reset();
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

std::string pgbouncer::route(const std::string& url) const {
  return fmt::format("{}&host=127.0.0.1&port={}&sslmode=disable", url, port_);
}

std::string pgbouncer::log() const {
  return process_->log();
}

}  // namespace fleet::test
