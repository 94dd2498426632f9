#include "common/daemon/service.hpp"

#include <ostream>
#include <utility>

#include "common/config/core_settings.hpp"
#include "common/config/load.hpp"

namespace fleet::daemon {
namespace {

int refuse_configuration(const service& what, const invocation& call, const base::error& why) {
  *call.err << what.program << ": " << why.message << '\n';
  return exit_usage;
}

base::result<config::values> load_checked(const service& what, const invocation& call) {
  auto values = load_values(what.schema, call);
  if (!values) return values;
  if (const auto checked = what.check(*values); !checked) return checked.error();
  return values;
}

int run(const service& what, const invocation& call) {
  const auto values = load_checked(what, call);
  if (!values) return refuse_configuration(what, call, values.error());
  const auto core = config::core_from(*values);
  telemetry::log_options form;
  form.level = telemetry::parse_log_level(core.log_level).value();
  form.format = core.log_json ? telemetry::log_format::json : telemetry::log_format::text;
  run_options options;
  options.log = telemetry::logger::to_stderr(form);
  options.stop_grace = core.stop_grace;
  const auto log = options.log;
  return run_loop(std::move(options), [&](loop& on) {
    service_start start{on, *values, log, [&what, &call] { return load_values(what.schema, call); }};
    return what.main(std::move(start));
  });
}

int check_config(const service& what, const invocation& call) {
  if (call.has("example")) {
    *call.out << config::example_ini(*what.schema, what.program + ": every setting with its default. Written by `" +
                                                       what.program + " check-config --example`.");
    return exit_done;
  }
  if (call.has("markdown")) {
    *call.out << config::reference_page(*what.schema, what.program);
    return exit_done;
  }
  const auto values = load_checked(what, call);
  if (!values) return refuse_configuration(what, call, values.error());
  *call.out << (call.json ? config::print_effective_json(*values) + "\n" : config::print_effective(*values));
  return exit_done;
}

}  // namespace

base::result<config::values> load_values(const std::shared_ptr<const config::schema>& schema, const invocation& call) {
  config::sources from;
  from.file = call.config_file.value_or("");
  from.arguments = call.settings;
  return config::load(schema, from);
}

void add_service_commands(command_table& to, const service& what) {
  subcommand one;
  one.name = "run";
  one.sentence = "Runs " + what.role + " until SIGTERM or SIGINT.";
  one.handler = [what](const invocation& call) { return run(what, call); };
  to.add(one);

  one = {};
  one.name = "check-config";
  one.sentence = "Prints every effective setting with where it came from.";
  one.handler = [what](const invocation& call) { return check_config(what, call); };
  one.prints_data = true;
  one.options = {{"example", "", "Prints a documented configuration file with every default instead."},
                 {"markdown", "", "Prints the same as tables of a page instead."}};
  to.add(one);
}

supervision restart_or_stop(loop& on, std::string metrics_prefix, std::function<bool()> available) {
  supervision rules;
  rules.metrics_prefix = std::move(metrics_prefix);
  rules.available = std::move(available);
  rules.on_fatal = [&on](const std::string& worker) {
    on.request_stop("worker " + worker + " fails again and again", exit_refused);
  };
  return rules;
}

void log_reload(const telemetry::logger& log, const config::values& before, const config::values& after) {
  for (const auto& change : config::diff(before, after)) {
    log.info("reload", change.reloadable ? "changed" : "left alone until the next start",
             {{"key", change.key}, {"before", change.before}, {"after", change.after}});
  }
}

}  // namespace fleet::daemon
