// What is broken and watched: a PostgreSQL with fsync on, the proxy, two coordinators, three agents with repositories.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/daemons.hpp"
#include "tests/support/private_postgres.hpp"
#include "tests/system/faults/proxy.hpp"
#include "tests/system/faults/sql_session.hpp"

namespace fleet::test::faults {

struct coordinator_process {
  coordinator_process(std::string name, std::string directory, std::string address);
  std::string name;
  std::string directory;
  std::string address;
  daemon_process process;
};

struct world_options {
  std::string directory;  ///< of everything; exists
  std::map<std::string, std::string> agent_environment = {};
  std::string mutation = {};  ///< SQL that breaks the database's part, run after the migration
};

/// Agents are `agent-0` to `agent-2`, coordinators `coordinator-0` and `-1`; each reaches the database through the
/// proxy's door of its name, the suite's own load through `load`. Agents 0 and 1 vote by policy, agent 2 by hand.
class world {
 public:
  explicit world(const world_options& options);
  ~world();
  world(const world&) = delete;
  world& operator=(const world&) = delete;

  void start_all();
  std::vector<std::string> names() const;
  daemon_process& process(const std::string& name);
  agent_process& agent(const std::string& name);
  bool is_agent(const std::string& name) const { return name.starts_with("agent-"); }
  std::string log_path(const std::string& name) const;
  std::string config_path(const std::string& name) const;
  std::string spool_path(const std::string& agent) const;
  /// Ends an agent as a power cut would: kill -9, and what it had not synced is gone. Returns the writes taken back.
  std::size_t cut_power(const std::string& agent);
  /// The status of a GET; 0 where nobody answers.
  unsigned ask(const std::string& name, const std::string& target, std::string* body = nullptr);
  bool ready(const std::string& name) { return ask(name, "/readyz") == 200; }
  /// Past the proxy, as superuser.
  std::string admin_url() const { return postgres.url("faults"); }
  std::string load_url();
  /// With the role that the agent was enrolled with, by the load's door.
  std::string instance_url(const std::string& agent) const { return instance_urls_.at(agent); }

  std::string directory;
  private_postgres postgres;
  fault_proxy proxy;
  std::vector<std::unique_ptr<coordinator_process>> coordinators;
  std::vector<std::unique_ptr<agent_process>> agents;
  bool has_tmpfs = false;  ///< agent-2's spool has a small file system of its own

 private:
  int door(const std::string& name);
  std::string through_door(const std::string& name, const std::string& url);
  void break_database(const world_options& options) const;
  void make_coordinator(const std::string& name);
  void make_agent(const std::string& name, const world_options& options);
  std::map<std::string, int> doors_;  ///< name → port
  std::map<std::string, std::string> instance_urls_;
};

/// "KEY=VALUE" sections as an INI file.
void write_ini(const std::string& path, const std::map<std::string, std::string>& settings);

}  // namespace fleet::test::faults
