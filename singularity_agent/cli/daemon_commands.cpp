#include <memory>
#include <ostream>

#include "common/daemon/run_loop.hpp"
#include "singularity_agent/application.hpp"
#include "singularity_agent/cli/commands.hpp"
#include "singularity_agent/cli/session.hpp"
#include "singularity_agent/settings.hpp"
#include "singularity_agent/tools.hpp"

namespace fleet::agent::cli {
namespace {

using daemon::invocation;

telemetry::logger make_log(const config::core_settings& core) {
  telemetry::log_options options;
  options.level = telemetry::parse_log_level(core.log_level).value();
  options.format = core.log_json ? telemetry::log_format::json : telemetry::log_format::text;
  return telemetry::logger::to_stderr(options);
}

/// The settings, with everything checked that can be checked without a database.
base::result<agent_settings> checked(const base::result<config::values>& values) {
  if (!values) return values.error();
  auto settings = settings_from(*values);
  if (!settings) return settings;
  if (const auto sampler = make_sampler(*settings); !sampler) return sampler.error();
  return settings;
}

int run(const invocation& call) {
  const auto values = load_values(call);
  const auto effective = checked(values);
  if (!effective) return usage(call, effective.error().message);
  daemon::run_options options;
  options.log = make_log(effective->core);
  options.stop_grace = effective->core.stop_grace;
  const auto log = options.log;
  return daemon::run_loop(std::move(options), [&](daemon::loop& loop) -> boost::asio::awaitable<void> {
    // Its connections and timers belong to the loop: it must be gone before that.
    application all(loop, *values, *effective, log, [&call] { return load_values(call); });
    co_await all.run();
  });
}

int check_config(const invocation& call) {
  if (call.has("example")) {
    *call.out << config::example_ini(*agent_schema(),
                                     "singularity_agent: every setting with its default. Written by "
                                     "`singularity_agent check-config --example`.");
    return daemon::exit_done;
  }
  const auto values = load_values(call);
  const auto effective = checked(values);
  if (!effective) return usage(call, effective.error().message);
  *call.out << (call.json ? config::print_effective_json(*values) + "\n" : config::print_effective(*values));
  return daemon::exit_done;
}

}  // namespace

void add_daemon_commands(daemon::command_table& to) {
  daemon::subcommand one;
  one.name = "run";
  one.sentence = "Runs the agent until SIGTERM or SIGINT.";
  one.handler = run;
  to.add(one);

  one = {};
  one.name = "check-config";
  one.sentence = "Prints every effective setting with where it came from.";
  one.handler = check_config;
  one.prints_data = true;
  one.options = {{"example", "", "Prints a documented configuration file with every default instead."}};
  to.add(one);
}

daemon::command_table make_commands() {
  daemon::command_table table("singularity_agent",
                              "The agent of one instance: proposes changes, votes, carries out what is approved.",
                              FLEET_VERSION);
  add_daemon_commands(table);
  add_proposal_commands(table);
  add_fleet_commands(table);
  return table;
}

}  // namespace fleet::agent::cli
