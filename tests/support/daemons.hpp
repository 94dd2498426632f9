// Real daemons as processes: a coordinator and agents on one database, each agent on a git repository of its own.
#pragma once
#include <sys/types.h>

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/http/client.hpp"

namespace fleet::test {

/// The path of a program of this build (of FLEET_BIN_DIR where that is set); an absolute path stays as it is.
std::string daemon_binary(const std::string& name);

/// Polls until the condition holds; false when `limit` (times the patience of this run) passes first.
bool wait_until(const std::function<bool()>& condition, std::chrono::milliseconds limit = std::chrono::seconds(20));

/// Runs a command with sh; returns its standard output without the last newline. Throws when it fails.
std::string shell(const std::string& command);

/// One daemon. Killed (SIGKILL) when destroyed.
class daemon_process {
 public:
  daemon_process(std::string binary, std::vector<std::string> arguments, std::string log_file);
  ~daemon_process();
  daemon_process(const daemon_process&) = delete;
  daemon_process& operator=(const daemon_process&) = delete;

  void start();
  void send(int signal) const;
  /// Waits for its end; the exit code, 128 + the signal that ended it, or -1 when it still runs at the limit.
  int wait(std::chrono::milliseconds limit = std::chrono::seconds(15));
  void kill9() {
    send(9);
    wait();
  }
  bool running();
  pid_t pid() const { return pid_; }
  std::string log() const;

  std::map<std::string, std::string> environment;  ///< on top of this process's, from the next start on

 private:
  std::string binary_;
  std::vector<std::string> arguments_;
  std::string log_file_;
  pid_t pid_ = -1;
};

struct daemon_answer {
  unsigned status = 0;
  boost::json::object body;
};

class agent_process {
 public:
  agent_process(std::string directory, std::string instance, const std::string& database_url,
                std::map<std::string, std::string> settings);

  void start() { process.start(); }
  bool ready() const;
  daemon_answer call(const std::string& method, const std::string& target, const boost::json::object& body = {}) const;
  daemon_answer raw_call(const std::string& method, const std::string& target, const std::string& body) const;
  std::string status_of(const std::string& proposal) const;
  std::string git(const std::string& arguments) const;
  std::string file(const std::string& path) const;

  std::string instance;
  std::string directory;
  std::string socket;
  std::string repository;
  daemon_process process;
};

struct fleet_options {
  std::string name;  ///< of the database
  int agents = 3;
  int coordinators = 1;
  std::map<std::string, std::string> agent_settings = {};
  std::map<std::string, std::string> coordinator_settings = {};
  /// What becomes of each daemon's database.url: a way through a pooler or proxy.
  std::function<std::string(const std::string& url)> route = {};
  bool listen_directly = false;  ///< database.listen_url is what database.url was before `route`
  bool start = true;             ///< start all and wait until they are ready
};

/// A fleet in a temporary directory, gone with the object. Each daemon logs in as a role of its own; `database_url` is
/// the superuser's. Each repository holds `service.conf` and `metrics.json`, which the agent's metrics.command prints:
/// a change to it changes what the Guardian sees.
class daemon_fleet {
 public:
  explicit daemon_fleet(const fleet_options& options);
  ~daemon_fleet();
  daemon_fleet(const daemon_fleet&) = delete;
  daemon_fleet& operator=(const daemon_fleet&) = delete;

  agent_process& agent(std::size_t index) { return *agents[index]; }
  bool coordinator_ready(std::size_t index = 0) const;
  /// Waits until all that run are ready and the coordinator knows the agents. Throws with their logs.
  void wait_ready();
  std::string psql(const std::string& sql) const;
  /// The story of a proposal as the coordinator tells it.
  boost::json::object story(const std::string& proposal) const;
  std::string logs() const;
  /// The lines of all daemons' logs about an event, since they were first started.
  std::string lines_of(const std::string& event) const;

  std::string name;
  std::string directory;
  std::string database_url;
  std::vector<std::unique_ptr<agent_process>> agents;
  std::vector<std::unique_ptr<daemon_process>> coordinators;
  std::vector<std::string> coordinator_addresses;
};

/// A proposal that writes `files` (path → content).
boost::json::object proposal_of(const std::map<std::string, std::string>& files, double risk = 2, double impact = 8);

}  // namespace fleet::test
