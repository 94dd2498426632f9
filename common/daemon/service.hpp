// A daemon as its command line sees it: `run`, `check-config`, and reading the configuration again on SIGHUP.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <functional>
#include <memory>
#include <string>

#include "common/base/error.hpp"
#include "common/config/values.hpp"
#include "common/daemon/run_loop.hpp"
#include "common/daemon/subcommands.hpp"
#include "common/daemon/supervisor.hpp"
#include "common/telemetry/log.hpp"

namespace fleet::daemon {

/// Reads the configuration again, from where the first one came.
using reload_source = std::function<base::result<config::values>()>;

/// What `run` hands to the daemon's main coroutine.
struct service_start {
  loop& on;
  config::values configured;
  telemetry::logger log;
  reload_source reload;
};

struct service {
  std::string program;  ///< "centralcloud_daemon"
  std::string role;     ///< "the coordinator"
  std::shared_ptr<const config::schema> schema;
  /// Everything that can be checked without a database; an error names the setting.
  std::function<base::result<void>(const config::values&)> check;
  std::function<boost::asio::awaitable<void>(service_start)> main;
};

/// The settings that the invocation names. Error: as `config::load`.
base::result<config::values> load_values(const std::shared_ptr<const config::schema>& schema, const invocation& call);

/// Adds `run` and `check-config`.
void add_service_commands(command_table& to, const service& what);

/// Supervision that ends the process, for the service manager to start it again, when a worker fails again and again.
/// `available`: as in `supervision`.
supervision restart_or_stop(loop& on, std::string metrics_prefix, std::function<bool()> available);

/// One log line a setting that differs: taken over, or left alone until the next start.
void log_reload(const telemetry::logger& log, const config::values& before, const config::values& after);

}  // namespace fleet::daemon
