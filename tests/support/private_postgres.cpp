#include "tests/support/private_postgres.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <pwd.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <thread>
#include <vector>

extern char** environ;  // NOLINT(readability-redundant-declaration)

namespace fleet::test {

namespace {

using clock = std::chrono::steady_clock;
constexpr const char* programs = "/usr/lib/postgresql/15/bin/";

std::string quoted(const std::string& text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'') {
      out += "'\\''";
    } else {
      out += c;
    }
  }
  return out + "'";
}

/// The output of a shell command; throws with it when the command fails.
std::string run(const std::string& command) {
  FILE* from = ::popen((command + " 2>&1").c_str(), "re");
  if (from == nullptr) throw std::runtime_error("cannot run " + command);
  std::string output;
  std::array<char, 4096> chunk{};
  while (const std::size_t size = std::fread(chunk.data(), 1, chunk.size(), from)) output.append(chunk.data(), size);
  if (::pclose(from) != 0) throw std::runtime_error(command + " failed:\n" + output);
  return output;
}

std::string unprivileged_user() {
  if (::geteuid() != 0) return {};
  return ::getpwnam("postgres") != nullptr ? "postgres" : "nobody";
}

/// The signal reaches the server when this process is gone, however it went: SIGQUIT is "stop at once" to a postmaster.
std::vector<std::string> as_user(const std::string& user) {
  std::vector<std::string> words = {"setpriv", "--pdeathsig", "QUIT"};
  if (user.empty()) return words;
  for (const auto& word :
       {"--reuid=" + user, std::string("--regid=") + std::to_string(::getpwnam(user.c_str())->pw_gid),
        std::string("--clear-groups")}) {
    words.push_back(word);
  }
  return words;
}

}  // namespace

int free_port() {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = ::htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  const bool bound = ::bind(fd, generic, size) == 0 && ::getsockname(fd, generic, &size) == 0;
  ::close(fd);
  if (!bound) throw std::runtime_error("no free port");
  return ::ntohs(address.sin_port);
}

std::vector<std::string> private_postgres::launcher() const {
  return as_user(user_);
}

private_postgres::private_postgres(private_postgres_options options)
    : options_(std::move(options)), user_(unprivileged_user()) {
  std::string pattern = (std::filesystem::temp_directory_path() / "fleet_pg_XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("cannot make " + pattern);
  directory_ = pattern;
  try {
    initialize();
    start();
  } catch (...) {
    std::filesystem::remove_all(directory_);
    throw;
  }
}

private_postgres::~private_postgres() {
  if (pid_ > 0) end_with(SIGQUIT);
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

private_postgres& private_postgres::shared() {
  // A benchmark wants what a commit really costs.
  private_postgres_options options;
  options.fsync = std::getenv("FLEET_TEST_FSYNC") != nullptr;
  std::istringstream more(std::getenv("FLEET_TEST_SETTINGS") != nullptr ? std::getenv("FLEET_TEST_SETTINGS") : "");
  for (std::string name, value; std::getline(more, name, '=') && std::getline(more, value, ';');)
    options.settings[name] = value;
  static private_postgres server(options);
  return server;
}

void private_postgres::initialize() {
  if (!user_.empty() &&
      ::chown(directory_.c_str(), ::getpwnam(user_.c_str())->pw_uid, ::getpwnam(user_.c_str())->pw_gid) != 0) {
    throw std::runtime_error("cannot give " + directory_ + " to " + user_);
  }
  std::ofstream(directory_ + "/password") << "secret\n";
  std::filesystem::permissions(directory_ + "/password", std::filesystem::perms::all);
  std::string prefix;
  for (const auto& word : as_user(user_)) prefix += quoted(word) + " ";
  const auto made_by = options_.standby_of != nullptr
                           ? fmt::format("pg_basebackup -h {} -p {} -U postgres -D {}/data -R -c fast",
                                         options_.standby_of->directory(), options_.standby_of->port(), directory_)
                           : fmt::format(
                                 "initdb -D {0}/data -U postgres --pwfile={0}/password --auth-local=trust "
                                 "--auth-host=scram-sha-256 --encoding=UTF8 --locale=C --no-sync",
                                 directory_);
  run("cd / && " + prefix + programs + made_by);
  std::ofstream conf(directory_ + "/data/postgresql.conf", std::ios::app);
  conf << "listen_addresses = '127.0.0.1'\nunix_socket_directories = '" << directory_ << "'\n"
       << "max_connections = 100\nshared_buffers = '32MB'\n"
       << "fsync = " << (options_.fsync ? "on" : "off") << "\n";
  if (options_.standby) std::ofstream(directory_ + "/data/standby.signal").flush();
  for (const auto& [name, value] : options_.settings) conf << name << " = '" << value << "'\n";
}

void private_postgres::start() {
  if (pid_ > 0) return;
  // Between finding a port free and binding it, somebody else may take it. A restart keeps its port.
  for (int attempt = 0; attempt < 5; ++attempt) {
    if (port_ == 0 || attempt > 0) port_ = free_port();
    std::vector<std::string> words = as_user(user_);
    for (const auto& word : {std::string(programs) + "postgres", std::string("-D"), directory_ + "/data",
                             std::string("-p"), std::to_string(port_)}) {
      words.push_back(word);
    }
    std::vector<char*> arguments;
    arguments.reserve(words.size() + 1);
    for (auto& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    const std::string log = directory_ + "/log";
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
    posix_spawn_file_actions_adddup2(&actions, 1, 2);
    posix_spawn_file_actions_addclosefrom_np(&actions, 3);
    posix_spawn_file_actions_addchdir_np(&actions, "/");
    const int code = ::posix_spawnp(&pid_, "setpriv", &actions, nullptr, arguments.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    if (code != 0) throw std::runtime_error("cannot start postgres");
    if (wait_ready()) return;
  }
  throw std::runtime_error("postgres does not start:\n" + log_tail());
}

bool private_postgres::wait_ready() {
  const auto deadline = clock::now() + std::chrono::seconds(60);
  const std::string ask = fmt::format("{}pg_isready -q -h {} -p {}", programs, directory_, port_);
  while (clock::now() < deadline) {
    int status = 0;
    if (::waitpid(pid_, &status, WNOHANG) == pid_) {
      pid_ = -1;
      return false;
    }
    if (std::system(ask.c_str()) == 0) return true;  // NOLINT: a test's own, constant text
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  throw std::runtime_error("postgres is not ready in 60 s:\n" + log_tail());
}

void private_postgres::end_with(int signal) {
  if (pid_ <= 0) return;
  ::kill(pid_, signal);
  const auto deadline = clock::now() + std::chrono::seconds(30);
  while (clock::now() < deadline) {
    int status = 0;
    if (::waitpid(pid_, &status, WNOHANG) == pid_) {
      pid_ = -1;
      return;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

void private_postgres::stop() {
  end_with(SIGINT);
}

void private_postgres::kill9() {
  // The postmaster first, so that it cannot react to the death of its children; then whoever belongs to it.
  if (pid_ <= 0) return;
  ::kill(pid_, SIGSTOP);
  const std::string children = fmt::format("/proc/{0}/task/{0}/children", pid_);
  std::ifstream list(children);
  std::vector<pid_t> pids;
  for (pid_t child = 0; list >> child;) pids.push_back(child);
  ::kill(pid_, SIGKILL);
  for (const pid_t child : pids) ::kill(child, SIGKILL);
  end_with(SIGKILL);
}

std::string private_postgres::create_database(const std::string& name) {
  psql("drop database if exists \"" + name + "\" with (force)");
  psql("create database \"" + name + "\"");
  return url(name);
}

std::string private_postgres::url(const std::string& database, const std::string& user) const {
  return fmt::format("postgresql:///{}?host={}&port={}&user={}", database, directory_, port_, user);
}

std::string private_postgres::tcp_url(const std::string& database, const std::string& user,
                                      const std::string& password) const {
  return fmt::format("postgresql://{}:{}@127.0.0.1:{}/{}", user, password, port_, database);
}

std::string private_postgres::psql(const std::string& sql, const std::string& database) const {
  std::string output =
      run(fmt::format("{}psql -X -q -At -v ON_ERROR_STOP=1 -d {} -c {}", programs, quoted(url(database)), quoted(sql)));
  if (!output.empty() && output.back() == '\n') output.pop_back();
  return output;
}

std::string private_postgres::log_tail() const {
  std::ifstream log(directory_ + "/log");
  std::string text((std::istreambuf_iterator<char>(log)), std::istreambuf_iterator<char>());
  return text.size() > 4000 ? text.substr(text.size() - 4000) : text;
}

}  // namespace fleet::test
