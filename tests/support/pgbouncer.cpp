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

/// What a page has between "```LANGUAGE" and "```".
std::string block_of(const std::string& page, const std::string& language) {
  return shell(fmt::format("awk -v fence='```{}' '$0 == fence {{ on = 1; next }} /^```$/ {{ on = 0 }} on' '{}'",
                           language, page));
}

void replace(std::string& in, const std::string& what, const std::string& by) {
  const auto at = in.find(what);
  if (at == std::string::npos) throw std::runtime_error("the page has no \"" + what + "\"");
  in.replace(at, what.size(), by);
}

/// As the page says; in the templates, so that each database made from now on has it.
void make_lookup_of(const std::string& page, const private_postgres& server) {
  auto role = block_of(page, "sql");
  const auto end_of_role = role.find(";\n") + 1;
  const auto function = role.substr(end_of_role);
  role.erase(end_of_role);
  replace(role, "'…'", fmt::format("'{}'", looking_up_password));
  if (server.psql("select to_regrole('pgbouncer') is null") == "t") server.psql(role);
  for (const std::string database : {"template1", "fleet_template"}) {
    if (server.psql("select count(*) from pg_database where datname = '" + database + "'") == "0") continue;
    if (server.psql("select to_regproc('pgbouncer_lookup') is null", database) == "t") server.psql(function, database);
  }
}

std::string settings_of(const std::string& page, const std::string& users, int server_port) {
  auto settings = block_of(page, "ini");
  replace(settings, "fleet = host=10.0.0.5 port=5432", fmt::format("* = host=127.0.0.1 port={}", server_port));
  replace(settings, "/etc/pgbouncer/users", users);
  replace(settings, "verify-full", "disable");
  return settings;
}

/// The role that asks for other roles' secrets, here in every database; not the page's, which comes with its function.
void make_lookup_role(const private_postgres& server) {
  server.psql(
      fmt::format("do $$ begin if to_regrole('lookup_of_tests') is null then "
                  "create role lookup_of_tests superuser login password '{}'; end if; end $$",
                  looking_up_password));
}

std::string own_settings(const std::string& users, int server_port) {
  return fmt::format(
      "[databases]\n* = host=127.0.0.1 port={}\n"
      "[pgbouncer]\npool_mode = transaction\ndefault_pool_size = 2\nmax_client_conn = 1000\n"
      "auth_type = scram-sha-256\nauth_file = {}\nauth_user = lookup_of_tests\n"
      "auth_query = select rolname, rolpassword from pg_catalog.pg_authid where rolname = $1 and rolcanlogin\n"
      "server_tls_sslmode = disable\n",
      server_port, users);
}

}  // namespace

pgbouncer::pgbouncer(const private_postgres& before, const std::string& page) : port_(free_port()) {
  std::string pattern = (std::filesystem::temp_directory_path() / "fleet_pgbouncer_XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("cannot make " + pattern);
  directory_ = pattern;
  const auto users = directory_ + "/users";
  std::string settings;
  if (page.empty()) {
    make_lookup_role(before);
    settings = own_settings(users, before.port());
  } else {
    make_lookup_of(page, before);
    settings = settings_of(page, users, before.port());
  }
  std::ofstream(users) << fmt::format("\"{}\" \"{}\"\n", page.empty() ? "lookup_of_tests" : "pgbouncer",
                                      looking_up_password);
  std::ofstream(directory_ + "/pgbouncer.ini")
      << settings << fmt::format("\nlisten_addr = 127.0.0.1\nlisten_port = {}\nunix_socket_dir =\n", port_);
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
