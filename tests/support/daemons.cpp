#include "tests/support/daemons.hpp"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <thread>

#include "tests/support/fleet_database.hpp"
#include "tests/support/private_postgres.hpp"
#include "tests/support/run.hpp"

extern char** environ;

namespace fleet::test {

namespace {

namespace json = boost::json;

std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

void write_file(const std::string& path, const std::string& text) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out << text;
  if (!out.flush()) throw std::runtime_error("cannot write " + path);
}

/// An INI file from "section.key" → value.
void write_config(const std::string& path, const std::map<std::string, std::string>& settings) {
  std::map<std::string, std::string> sections;
  for (const auto& [key, value] : settings) {
    const auto dot = key.find('.');
    sections[key.substr(0, dot)] += key.substr(dot + 1) + " = " + value + "\n";
  }
  std::string text;
  for (const auto& [section, lines] : sections) text += "[" + section + "]\n" + lines;
  write_file(path, text);
}

void make_repository(const std::string& path) {
  std::filesystem::create_directories(path);
  write_file(path + "/service.conf", "greeting=hello\n");
  write_file(path + "/metrics.json", R"({"success_rate": 0.99, "error_rate": 0.01, "latency_p95_ms": 120})"
                                     "\n");
  shell("cd '" + path +
        "' && git init -q -b main && git add -A && git -c user.name=Test -c user.email=test@localhost "
        "commit -q -m 'first'");
}

std::map<std::string, std::string> agent_config(const std::string& directory, const std::string& instance,
                                                const std::string& database_url,
                                                const std::map<std::string, std::string>& settings) {
  std::map<std::string, std::string> all{{"database.url", database_url},
                                         {"instance.id", instance},
                                         {"instance.heartbeat_ms", "300"},
                                         {"api.socket", directory + "/agent.sock"},
                                         {"executor.mode", "git"},
                                         {"executor.repository", directory + "/repo"},
                                         {"executor.verify_command", "test -s service.conf"},
                                         {"metrics.command", "cat metrics.json"},
                                         {"metrics.proc", "none"},
                                         {"metrics.interval_ms", "200"},
                                         {"execution.observation_window_seconds", "3"},
                                         {"log.level", "debug"}};
  for (const auto& [key, value] : settings) all[key] = value;
  return all;
}

daemon_answer answer_of(const base::result<http::client_response>& response) {
  if (!response) throw std::runtime_error("no answer: " + response.error().message);
  daemon_answer answer;
  answer.status = response->status;
  json::error_code ec;
  const auto value = json::parse(response->body, ec);
  if (!ec && value.is_object()) answer.body = value.as_object();
  return answer;
}

}  // namespace

std::string daemon_binary(const std::string& name) {
  if (name.starts_with('/')) return name;
  const char* folder = std::getenv("FLEET_BIN_DIR");
  return (folder != nullptr ? std::string(folder) : std::string(FLEET_BINARY_DIR)) + "/" + name;
}

bool wait_until(const std::function<bool()>& condition, std::chrono::milliseconds limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit * patience();
  while (!condition()) {
    if (std::chrono::steady_clock::now() >= deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return true;
}

std::string shell(const std::string& command) {
  FILE* pipe = ::popen(command.c_str(), "r");
  if (pipe == nullptr) throw std::runtime_error("popen failed");
  std::string output;
  std::array<char, 4096> buffer{};
  while (const auto n = std::fread(buffer.data(), 1, buffer.size(), pipe)) output.append(buffer.data(), n);
  const int status = ::pclose(pipe);
  if (status != 0) throw std::runtime_error("failed: " + command + "\n" + output);
  if (!output.empty() && output.back() == '\n') output.pop_back();
  return output;
}

daemon_process::daemon_process(std::string binary_name, std::vector<std::string> arguments, std::string log_file)
    : binary_(daemon_binary(binary_name)), arguments_(std::move(arguments)), log_file_(std::move(log_file)) {}

daemon_process::~daemon_process() {
  if (running()) kill9();
}

void daemon_process::start() {
  if (running()) throw std::runtime_error(binary_ + " runs already");
  std::vector<char*> argv{binary_.data()};
  for (auto& argument : arguments_) argv.push_back(argument.data());
  argv.push_back(nullptr);
  // A name that stands twice counts by its first place.
  std::vector<std::string> added;
  for (const auto& [name, value] : environment) added.push_back(name + "=" + value);
  std::vector<char*> variables;
  for (auto& each : added) variables.push_back(each.data());
  for (char** each = environ; *each != nullptr; ++each) variables.push_back(*each);
  variables.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, log_file_.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
  posix_spawn_file_actions_adddup2(&actions, 1, 2);
  // A copy of a socket of this process would keep its connection open when it is closed here.
  posix_spawn_file_actions_addclosefrom_np(&actions, 3);
  const int error = ::posix_spawn(&pid_, binary_.c_str(), &actions, nullptr, argv.data(), variables.data());
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) {
    pid_ = -1;
    throw std::runtime_error("cannot start " + binary_);
  }
}

void daemon_process::send(int signal) const {
  if (pid_ > 0) ::kill(pid_, signal);
}

int daemon_process::wait(std::chrono::milliseconds limit) {
  if (pid_ <= 0) return -1;
  int status = 0;
  const auto ended = [&] { return ::waitpid(pid_, &status, WNOHANG) == pid_; };
  if (!wait_until(ended, limit)) return -1;
  pid_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

bool daemon_process::running() {
  if (pid_ <= 0) return false;
  int status = 0;
  if (::waitpid(pid_, &status, WNOHANG) == 0) return true;
  pid_ = -1;
  return false;
}

std::string daemon_process::log() const {
  return read_file(log_file_);
}

agent_process::agent_process(std::string in, std::string instance_name, const std::string& database_url,
                             std::map<std::string, std::string> settings)
    : instance(std::move(instance_name)),
      directory(std::move(in)),
      socket(directory + "/agent.sock"),
      repository(directory + "/repo"),
      process("singularity_agent", {"run", "--config", directory + "/agent.ini"}, directory + "/agent.log") {
  make_repository(repository);
  write_config(directory + "/agent.ini", agent_config(directory, instance, database_url, settings));
}

bool agent_process::ready() const {
  http::client_request request;
  request.to.unix_socket = socket;
  request.target = "/readyz";
  const auto response = http::call_blocking(std::move(request));
  return response && response->status == 200;
}

daemon_answer agent_process::raw_call(const std::string& method, const std::string& target,
                                      const std::string& body) const {
  http::client_request request;
  request.to.unix_socket = socket;
  request.method = method;
  request.target = target;
  request.body = body;
  return answer_of(http::call_blocking(std::move(request)));
}

daemon_answer agent_process::call(const std::string& method, const std::string& target,
                                  const json::object& body) const {
  return raw_call(method, target, body.empty() ? std::string() : json::serialize(body));
}

std::string agent_process::status_of(const std::string& proposal) const {
  const auto answer = call("GET", "/v1/proposals/" + proposal);
  const auto* status = answer.body.if_contains("status");
  return status != nullptr && status->is_string() ? std::string(status->as_string()) : std::string();
}

std::string agent_process::git(const std::string& arguments) const {
  return shell("git -c safe.directory='*' -C '" + repository + "' " + arguments);
}

std::string agent_process::file(const std::string& path) const {
  return read_file(repository + "/" + path);
}

daemon_fleet::daemon_fleet(const fleet_options& options)
    : name(options.name), database_url(fleet_database(options.name)) {
  std::string pattern = (std::filesystem::temp_directory_path() / "fleet-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
  directory = pattern;
  const auto add_urls = [&options](std::map<std::string, std::string>& to, const std::string& url) {
    to["database.url"] = options.route ? options.route(url) : url;
    if (options.listen_directly) to["database.listen_url"] = url;
  };
  for (int i = 0; i < options.coordinators; ++i) {
    const auto folder = directory + "/coordinator-" + std::to_string(i);
    std::filesystem::create_directories(folder);
    coordinator_addresses.push_back("127.0.0.1:" + std::to_string(free_port()));
    std::map<std::string, std::string> settings{{"http.listen", coordinator_addresses.back()},
                                                {"guardian.observation_window_seconds", "3"},
                                                {"instances.heartbeat_timeout_ms", "5000"},
                                                {"log.level", "debug"}};
    add_urls(settings, coordinator_url(name));
    for (const auto& [key, value] : options.coordinator_settings) settings[key] = value;
    write_config(folder + "/coordinator.ini", settings);
    const std::vector<std::string> arguments{"run", "--config", folder + "/coordinator.ini"};
    coordinators.push_back(
        std::make_unique<daemon_process>("centralcloud_daemon", arguments, folder + "/coordinator.log"));
  }
  for (int i = 0; i < options.agents; ++i) {
    const auto instance = "agent-" + std::to_string(i);
    const auto folder = directory + "/" + instance;
    std::filesystem::create_directories(folder);
    std::map<std::string, std::string> settings;
    add_urls(settings, agent_url(name, instance));
    for (const auto& [key, value] : options.agent_settings) settings[key] = value;
    const auto url = settings["database.url"];
    agents.push_back(std::make_unique<agent_process>(folder, instance, url, std::move(settings)));
  }
  if (!options.start) return;
  for (auto& each : coordinators) each->start();
  for (auto& each : agents) each->start();
  wait_ready();
}

daemon_fleet::~daemon_fleet() {
  for (auto& each : agents) each->process.send(SIGKILL);
  agents.clear();
  coordinators.clear();
  if (std::getenv("FLEET_KEEP") == nullptr) {
    std::error_code ignored;
    std::filesystem::remove_all(directory, ignored);
  }
}

bool daemon_fleet::coordinator_ready(std::size_t index) const {
  http::client_request request;
  request.to = http::endpoint::parse(coordinator_addresses[index]).value();
  request.target = "/readyz";
  const auto response = http::call_blocking(std::move(request));
  return response && response->status == 200;
}

void daemon_fleet::wait_ready() {
  const auto all_ready = [&] {
    for (std::size_t i = 0; i < coordinators.size(); ++i)
      if (coordinators[i]->running() && !coordinator_ready(i)) return false;
    for (auto& each : agents)
      if (each->process.running() && !each->ready()) return false;
    return true;
  };
  if (!wait_until(all_ready)) throw std::runtime_error("the fleet did not get ready\n" + logs());
}

std::string daemon_fleet::psql(const std::string& sql) const {
  return private_postgres::shared().psql(sql, name);
}

json::object daemon_fleet::story(const std::string& proposal) const {
  http::client_request request;
  request.to = http::endpoint::parse(coordinator_addresses.front()).value();
  request.target = "/v1/proposals/" + proposal;
  return answer_of(http::call_blocking(std::move(request))).body;
}

std::string daemon_fleet::logs() const {
  std::string all;
  const auto add = [&](const std::string& title, const std::string& text) {
    // Polling by the tests fills the log; what the daemon did is what helps.
    std::istringstream lines(text);
    std::string kept;
    for (std::string line; std::getline(lines, line);)
      if (line.find("http_request") == std::string::npos) kept += line + "\n";
    all += "── " + title + "\n" + kept.substr(kept.size() > 6000 ? kept.size() - 6000 : 0) + "\n";
  };
  for (const auto& each : coordinators) add("coordinator", each->log());
  for (const auto& each : agents) add(each->instance, each->process.log());
  return all;
}

std::string daemon_fleet::lines_of(const std::string& event) const {
  std::string all;
  const auto add = [&](const std::string& log) {
    std::istringstream lines(log);
    for (std::string line; std::getline(lines, line);)
      if (line.find(" " + event + ": ") != std::string::npos) all += line + "\n";
  };
  for (const auto& each : coordinators) add(each->log());
  for (const auto& each : agents) add(each->process.log());
  return all;
}

json::object proposal_of(const std::map<std::string, std::string>& files, double risk, double impact) {
  json::object changed;
  for (const auto& [path, text] : files) changed[path] = text;
  json::object proposal;
  proposal["agent_type"] = "OptimizationAgent";
  proposal["impact_score"] = impact;
  proposal["risk_score"] = risk;
  proposal["code_change"] = json::object{{"files", changed}};
  proposal["safety_profile"] = json::object{{"error_threshold", 0.1}, {"needs_consensus", true}};
  proposal["metadata"] = json::object{{"change_type", "pattern_enhancement"}, {"description", "a test change"}};
  return proposal;
}

}  // namespace fleet::test
