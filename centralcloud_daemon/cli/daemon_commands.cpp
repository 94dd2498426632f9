#include <boost/json/array.hpp>
#include <ostream>
#include <utility>

#include "centralcloud_daemon/application.hpp"
#include "centralcloud_daemon/cli/commands.hpp"
#include "centralcloud_daemon/cli/session.hpp"
#include "centralcloud_daemon/schema/migrate.hpp"
#include "common/base/time.hpp"
#include "common/daemon/run_loop.hpp"

namespace fleet::central::cli {
namespace {

using boost::asio::awaitable;
using daemon::invocation;

telemetry::logger make_log(const config::core_settings& core) {
  telemetry::log_options options;
  options.level = telemetry::parse_log_level(core.log_level).value();
  options.format = core.log_json ? telemetry::log_format::json : telemetry::log_format::text;
  return telemetry::logger::to_stderr(options);
}

int run(const invocation& call) {
  const auto values = load_values(call);
  auto effective = values ? settings_from(*values) : base::result<settings>(values.error());
  if (!effective) {
    refuse(call, effective.error().message);
    return daemon::exit_usage;
  }
  daemon::run_options options;
  options.log = make_log(effective->core);
  options.stop_grace = effective->core.stop_grace;
  const auto log = options.log;
  return daemon::run_loop(std::move(options), [&](daemon::loop& loop) -> awaitable<void> {
    // Its connections and timers belong to the loop: it must be gone before that.
    application all(loop, *values, *effective, log, [&call] { return load_values(call); });
    co_await all.run();
  });
}

boost::json::array to_json(const std::vector<schema::migration_status>& all) {
  boost::json::array rows;
  for (const auto& each : all) {
    boost::json::object row;
    row["version"] = each.version;
    row["title"] = each.title;
    row["state"] = schema::to_string(each.state);
    if (each.applied_at) {
      row["applied_at"] = base::format_rfc3339(*each.applied_at);
      row["applied_by"] = each.applied_by;
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

awaitable<int> show_status(const invocation& call, postgres::connection& connection) {
  const auto all = co_await schema::read_status(connection);
  const std::vector<daemon::column> columns = {{"version", "version"},
                                               {"title", "title"},
                                               {"state", "state"},
                                               {"applied_at", "applied at"},
                                               {"applied_by", "by"}};
  daemon::print_rows(*call.out, call.json, columns, to_json(all), "no migrations");
  co_return daemon::exit_done;
}

awaitable<int> apply(const invocation& call, postgres::connection& connection) {
  schema::migrate_options how;
  how.say = [&call](const std::string& line) { *call.err << line << '\n'; };
  const auto done = co_await schema::migrate(connection, std::move(how));
  if (!done) {
    refuse(call, done.error().message);
    co_return done.error().kind == base::error_kind::conflict ? daemon::exit_usage : daemon::exit_refused;
  }
  if (call.json) {
    boost::json::object answer;
    answer["applied"] = boost::json::array(done->begin(), done->end());
    *call.out << boost::json::serialize(answer) << '\n';
  } else if (done->empty()) {
    *call.out << "the schema is up to date\n";
  } else {
    *call.out << "the schema has version " << done->back() << " now\n";
  }
  co_return daemon::exit_done;
}

int migrate(const invocation& call) {
  return with_database(
      call,
      [&call](postgres::connection& connection, const settings&) {
        return call.has("status") ? show_status(call, connection) : apply(call, connection);
      },
      schema_check::none);
}

int check_config(const invocation& call) {
  if (call.has("example")) {
    *call.out << config::example_ini(*settings_schema(),
                                     "centralcloud_daemon: every setting with its default. Written by "
                                     "`centralcloud_daemon check-config --example`.");
    return daemon::exit_done;
  }
  const auto values = load_values(call);
  const auto effective = values ? settings_from(*values) : base::result<settings>(values.error());
  if (!effective) {
    refuse(call, effective.error().message);
    return daemon::exit_usage;
  }
  if (!effective->token_file.empty()) {
    const auto token = read_token(effective->token_file);
    if (!token) {
      refuse(call, token.error().message);
      return daemon::exit_usage;
    }
  }
  *call.out << (call.json ? config::print_effective_json(*values) : config::print_effective(*values));
  if (call.json) *call.out << '\n';
  return daemon::exit_done;
}

}  // namespace

void add_daemon_commands(daemon::command_table& to) {
  daemon::subcommand one;
  one.name = "run";
  one.sentence = "Runs the coordinator until SIGTERM or SIGINT.";
  one.handler = run;
  to.add(one);

  one = {};
  one.name = "migrate";
  one.sentence = "Creates or upgrades the schema; safe to repeat and to run on several machines at once.";
  one.handler = migrate;
  one.prints_data = true;
  one.options = {{"status", "", "Lists the versions and changes nothing."}};
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
  daemon::command_table table("centralcloud_daemon",
                              "The coordinator: consensus votes, the Guardian over applied changes, patterns.",
                              FLEET_VERSION);
  add_daemon_commands(table);
  add_queue_commands(table);
  add_fleet_commands(table);
  add_enroll_commands(table);
  return table;
}

}  // namespace fleet::central::cli
