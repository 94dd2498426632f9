#include "tests/system/faults/world.hpp"

#include <fmt/format.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/json/parse.hpp>
#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "tests/system/faults/power_cut/undo.hpp"

namespace fleet::test::faults {

namespace fs = std::filesystem;

namespace {

constexpr auto no_tls = "sslmode=disable&gssencmode=disable";

private_postgres_options server_options() {
  private_postgres_options options;
  options.fsync = true;
  options.settings = {{"max_connections", "100"}, {"log_min_messages", "fatal"}, {"max_wal_size", "512MB"}};
  return options;
}

/// Everything of the schemas that does something, as one number.
constexpr auto code_of_the_schema = R"(
  select md5(string_agg(text, '' order by text)) from (
    select pg_get_functiondef(p.oid) as text from pg_proc p
     where p.prokind <> 'a' and p.pronamespace::regnamespace::text in ('quantumflow', 'singularity', 'centralcloud')
    union all select pg_get_triggerdef(t.oid) from pg_trigger t
    union all select pg_get_constraintdef(c.oid) || c.conrelid from pg_constraint c) code)";

/// What a change does to the service: harm/ID makes its metrics bad for as long as it is there.
constexpr auto metrics_command =
    R"(if ls harm/* > /dev/null 2>&1; then echo '{"success_rate": 0.70, "error_rate": 0.30}'; )"
    R"(else echo '{"success_rate": 0.99, "error_rate": 0.01}'; fi)";

}  // namespace

void write_ini(const std::string& path, const std::map<std::string, std::string>& settings) {
  std::map<std::string, std::string> sections;
  for (const auto& [key, value] : settings) {
    const auto dot = key.rfind('.');
    sections[key.substr(0, dot)] += key.substr(dot + 1) + " = " + value + "\n";
  }
  std::ofstream out(path, std::ios::trunc);
  for (const auto& [section, lines] : sections) out << "[" << section << "]\n" << lines;
  if (!out.flush()) throw std::runtime_error("cannot write " + path);
}

coordinator_process::coordinator_process(std::string its_name, std::string in, std::string listens_on)
    : name(std::move(its_name)),
      directory(std::move(in)),
      address(std::move(listens_on)),
      process("centralcloud_daemon", {"run", "--config", directory + "/coordinator.ini"},
              directory + "/coordinator.log") {}

world::world(const world_options& options)
    : directory(options.directory), postgres(server_options()), proxy(postgres.port()) {
  postgres.create_database("faults");
  shell(fmt::format("'{}' migrate --database.url '{}' > /dev/null 2>&1", daemon_binary("centralcloud_daemon"),
                    admin_url()));
  postgres.psql("create role coordinator login password 'secret' in role centralcloud");
  for (const auto* name : {"coordinator-0", "coordinator-1"}) make_coordinator(name);
  for (const auto* name : {"agent-0", "agent-1", "agent-2"}) make_agent(name, options);
  if (!options.mutation.empty()) break_database(options);
}

/// An error where nothing is changed by it, or a part of it does not fit any more.
void world::break_database(const world_options& options) const {
  const auto before = postgres.psql(code_of_the_schema, "faults");
  const auto script = directory + "/mutation.sql";
  std::ofstream(script) << options.mutation;
  shell(fmt::format("psql -X -q -v ON_ERROR_STOP=1 -d '{}' -f '{}' 2>&1", admin_url(), script));
  if (options.agent_environment.empty() && postgres.psql(code_of_the_schema, "faults") == before)
    throw std::runtime_error("the variant changes nothing in the database");
}

world::~world() {
  for (auto& each : agents) each->process.send(SIGKILL);
  for (auto& each : coordinators) each->process.send(SIGKILL);
  agents.clear();
  coordinators.clear();
  if (has_tmpfs) ::umount2((directory + "/agent-2/spool").c_str(), MNT_DETACH);
}

int world::door(const std::string& name) {
  const auto known = doors_.find(name);
  return known != doors_.end() ? known->second : doors_[name] = proxy.open(name);
}

std::string world::through_door(const std::string& name, const std::string& url) {
  auto changed = url;
  const auto port = fmt::format("127.0.0.1:{}/", postgres.port());
  changed.replace(changed.find(port), port.size(), fmt::format("127.0.0.1:{}/", door(name)));
  return changed + (changed.find('?') == std::string::npos ? "?" : "&") + no_tls;
}

std::string world::load_url() {
  return through_door("load", postgres.tcp_url("faults", "coordinator"));
}

void world::make_coordinator(const std::string& name) {
  const auto folder = directory + "/" + name;
  fs::create_directories(folder);
  const auto address =
      fmt::format("127.0.0.1:{}", 20'000 + ::getpid() % 5'000 * 2 + static_cast<int>(coordinators.size()));
  write_ini(folder + "/coordinator.ini",
            {{"database.url", through_door(name, postgres.tcp_url("faults", "coordinator"))},
             {"database.connect_timeout_ms", "1500"},
             {"database.statement_timeout_ms", "4000"},
             {"http.listen", address},
             {"consensus.min_votes", "2"},
             {"consensus.voting_timeout_ms", "20000"},
             {"guardian.observation_window_seconds", "3"},
             {"guardian.metrics_interval_ms", "1000"},
             {"guardian.learning_min_samples", "8"},  // so that a short run has a profile to send, too
             {"instances.heartbeat_timeout_ms", "5000"},
             {"queue.rotation_interval_seconds", "5"},
             {"log.level", "info"}});
  coordinators.push_back(std::make_unique<coordinator_process>(name, folder, address));
}

void world::make_agent(const std::string& name, const world_options& options) {
  const auto folder = directory + "/" + name;
  fs::create_directories(folder + "/spool");
  if (name == "agent-2" && ::geteuid() == 0)
    has_tmpfs = ::mount("tmpfs", (folder + "/spool").c_str(), "tmpfs", 0, "size=2m") == 0;
  const auto answer = shell(fmt::format("'{}' enroll {} --json --database.url '{}'",
                                        daemon_binary("centralcloud_daemon"), name, postgres.tcp_url("faults")));
  const std::string enrolled(boost::json::parse(answer).at("database_url").as_string());
  instance_urls_[name] = through_door("load", enrolled);
  std::map<std::string, std::string> settings{{"database.connect_timeout_ms", "1500"},
                                              {"database.statement_timeout_ms", "4000"},
                                              {"spool.path", folder + "/spool/spool.db"},
                                              {"metrics.command", metrics_command},
                                              {"metrics.interval_ms", "500"},
                                              {"executor.verify_command", "test -s service.conf"},
                                              {"log.level", "info"}};
  if (name == "agent-2") settings["voter.mode"] = "manual";
  agents.push_back(std::make_unique<agent_process>(folder, name, through_door(name, enrolled), settings));
  auto& environment = agents.back()->process.environment;
  environment = options.agent_environment;
  environment["LD_PRELOAD"] = daemon_binary("libpower_cut.so");
  environment["POWER_CUT_PATH"] = spool_path(name);
  environment["POWER_CUT_LOG"] = folder + "/power_cut.log";
}

void world::start_all() {
  for (auto& each : coordinators) each->process.start();
  for (auto& each : agents) each->process.start();
  const auto all_ready = [this] {
    for (const auto& name : names())
      if (!ready(name)) return false;
    return true;
  };
  if (wait_until(all_ready, std::chrono::seconds(30))) return;
  std::string logs;
  for (const auto& name : names()) logs += process(name).log();
  throw std::runtime_error("the fleet did not get ready\n" + logs);
}

std::vector<std::string> world::names() const {
  std::vector<std::string> all;
  for (const auto& each : coordinators) all.push_back(each->name);
  for (const auto& each : agents) all.push_back(each->instance);
  return all;
}

daemon_process& world::process(const std::string& name) {
  for (auto& each : coordinators)
    if (each->name == name) return each->process;
  return agent(name).process;
}

agent_process& world::agent(const std::string& name) {
  for (auto& each : agents)
    if (each->instance == name) return *each;
  throw std::runtime_error("there is no daemon " + name);
}

std::string world::log_path(const std::string& name) const {
  return directory + "/" + name + (is_agent(name) ? "/agent.log" : "/coordinator.log");
}

std::string world::config_path(const std::string& name) const {
  return directory + "/" + name + (is_agent(name) ? "/agent.ini" : "/coordinator.ini");
}

std::string world::spool_path(const std::string& name) const {
  return directory + "/" + name + "/spool/spool.db";
}

std::size_t world::cut_power(const std::string& name) {
  process(name).kill9();
  return undo_unsynced(directory + "/" + name + "/power_cut.log");
}

unsigned world::ask(const std::string& name, const std::string& target, std::string* body) {
  http::client_request request;
  request.target = target;
  request.timeout = std::chrono::milliseconds(3'000);
  if (is_agent(name)) {
    request.to.unix_socket = agent(name).socket;
  } else {
    for (const auto& each : coordinators)
      if (each->name == name) request.to = http::endpoint::parse(each->address).value();
  }
  const auto response = http::call_blocking(std::move(request));
  if (!response) return 0;
  if (body != nullptr) *body = response->body;
  return response->status;
}

}  // namespace fleet::test::faults
