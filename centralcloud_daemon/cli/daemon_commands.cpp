#include <boost/json/array.hpp>
#include <ostream>
#include <utility>

#include "centralcloud_daemon/application.hpp"
#include "centralcloud_daemon/cli/commands.hpp"
#include "centralcloud_daemon/cli/session.hpp"
#include "centralcloud_daemon/schema/migrate.hpp"
#include "common/base/json.hpp"
#include "common/base/time.hpp"
#include "common/daemon/service.hpp"
#include "common/http/access.hpp"

namespace fleet::central::cli {
namespace {

using boost::asio::awaitable;
using daemon::invocation;

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
  std::int64_t rebased = 0;
  if (call.has("rebase")) rebased = co_await schema::rebase(connection);
  if (call.json) {
    boost::json::object answer;
    answer["applied"] = boost::json::array(done->begin(), done->end());
    answer["rebased_messages"] = rebased;
    *call.out << base::write_json(answer) << '\n';
  } else if (done->empty()) {
    *call.out << "the schema is up to date\n";
  } else {
    *call.out << "the schema has version " << done->back() << " now\n";
  }
  if (call.has("rebase") && !call.json) *call.out << "rebased: " << rebased << " pending messages\n";
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

/// What can be wrong although every setting is right by itself.
base::result<void> check(const config::values& all) {
  const auto effective = settings_from(all);
  if (!effective) return effective.error();
  const auto token = http::read_token_file(effective->token_file);
  if (!token) return token.error();
  return {};
}

awaitable<void> coordinate(daemon::service_start start) {
  // Its connections and timers belong to the loop: it must be gone before that.
  application all(std::move(start));
  co_await all.run();
}

}  // namespace

void add_daemon_commands(daemon::command_table& to) {
  daemon::service service;
  service.program = "centralcloud_daemon";
  service.role = "the coordinator";
  service.schema = settings_schema();
  service.check = check;
  service.main = coordinate;
  daemon::add_service_commands(to, service);
  add_doctor(to, service);

  daemon::subcommand one;
  one.name = "migrate";
  one.sentence = "Creates or upgrades the schema; safe to repeat and to run on several machines at once.";
  one.handler = migrate;
  one.prints_data = true;
  one.options = {
      {"status", "", "Lists the versions and changes nothing."},
      {"rebase", "", "Also gives what is pending a place in this cluster, after a restore from a dump of another."}};
  to.add(one);
}

daemon::command_table make_commands() {
  daemon::command_table table("centralcloud_daemon",
                              "The coordinator: consensus votes, the Guardian over applied changes, patterns.",
                              FLEET_VERSION);
  add_daemon_commands(table);
  add_queue_commands(table);
  add_fleet_commands(table);
  add_profile_commands(table);
  add_alert_commands(table);
  add_enroll_commands(table);
  add_audit_commands(table);
  return table;
}

}  // namespace fleet::central::cli
