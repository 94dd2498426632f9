#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <charconv>
#include <chrono>
#include <ostream>

#include "centralcloud_daemon/alerts/alert_repository.hpp"
#include "centralcloud_daemon/cli/commands.hpp"
#include "centralcloud_daemon/cli/session.hpp"
#include "common/async/stop.hpp"
#include "common/base/json.hpp"

namespace fleet::central::cli {
namespace {

using boost::asio::awaitable;
using daemon::column;
using daemon::invocation;

/// Longer than a notifier takes to look.
constexpr std::chrono::seconds all_have_looked{3};
/// Longer than a usual receiver takes to answer, too.
constexpr std::chrono::seconds test_patience{15};
constexpr std::chrono::milliseconds look_interval{200};

int alerts(const invocation& call) {
  const auto length = list_length::of(call);
  if (!length) return daemon::exit_usage;
  return with_database(call, [&call, &length](postgres::connection& connection, const settings&) -> awaitable<int> {
    const bool recent = !call.has("active");
    const auto list = co_await alerts::list_alerts(connection, recent, length->asked());
    const std::vector<column> columns = {{"alert_id", "id"},      {"state", "state"},     {"severity", "severity"},
                                         {"name", "alert"},       {"subject", "subject"}, {"since", "since"},
                                         {"cleared_at", "until"}, {"text", "text"}};
    print_list(call, columns, list, "no alerts", *length);
    co_return daemon::exit_done;
  });
}

int clear(const invocation& call) {
  const auto& text = call.positionals.front();
  std::int64_t id = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (error != std::errc() || end != text.data() + text.size() || id < 1) {
    refuse(call, "ID: expected the number of an alert");
    return daemon::exit_usage;
  }
  return with_database(call, [&call, id](postgres::connection& connection, const settings&) -> awaitable<int> {
    const bool cleared = co_await alerts::clear_alert(connection, id, "operator (command line)");
    if (!cleared) co_return refuse(call, "ID: no such alert stands");
    if (call.json) {
      boost::json::object answer;
      answer["alert_id"] = id;
      *call.out << base::write_json(answer) << '\n';
    } else {
      *call.out << "alert " << id << " is cleared\n";
    }
    co_return daemon::exit_done;
  });
}

/// Until every channel has had the time to look at the notice, and those that did have had their first attempt.
awaitable<std::vector<alerts::delivery_state>> wait_for_deliveries(postgres::connection& on, std::string notice) {
  const auto earliest = std::chrono::steady_clock::now() + all_have_looked;
  const auto deadline = std::chrono::steady_clock::now() + test_patience;
  std::vector<alerts::delivery_state> all;
  const async::stop_token never;
  while (std::chrono::steady_clock::now() < deadline) {
    all = co_await alerts::deliveries_of(on, notice);
    const auto open = [](const alerts::delivery_state& each) { return !each.settled && each.error.empty(); };
    const bool looked = std::chrono::steady_clock::now() >= earliest;
    if (looked && !all.empty() && std::none_of(all.begin(), all.end(), open)) break;
    co_await never.sleep_for(look_interval);
  }
  co_return all;
}

int test(const invocation& call) {
  return with_database(call, [&call](postgres::connection& connection, const settings&) -> awaitable<int> {
    const auto notice = co_await alerts::raise_test(connection, "operator (command line)");
    const auto all = co_await wait_for_deliveries(connection, notice);
    boost::json::array rows;
    for (const auto& each : all) {
      rows.push_back({{"channel", each.channel},
                      {"delivered", each.delivered},
                      {"attempts", each.attempts},
                      {"error", each.error}});
    }
    const std::vector<column> columns = {
        {"channel", "channel"}, {"delivered", "delivered"}, {"attempts", "attempts"}, {"error", "error"}};
    daemon::print_rows(*call.out, call.json, columns, rows,
                       "nobody told of it: no coordinator runs, or none has alerts.command or alerts.webhook_url");
    const bool good =
        !all.empty() && std::all_of(all.begin(), all.end(), [](const auto& each) { return each.delivered; });
    co_return good ? daemon::exit_done : daemon::exit_refused;
  });
}

}  // namespace

void add_alert_commands(daemon::command_table& to) {
  daemon::subcommand one;
  one.name = "alerts";
  one.sentence = "Lists the alerts that stand, then those that were cleared within 30 days.";
  one.handler = alerts;
  one.prints_data = true;
  one.options = {{"active", "", "Only those that stand."}, list_length::option()};
  to.add(one);

  one = {};
  one.name = "alerts test";
  one.sentence = "Raises an alert that is over at once, and shows how telling of it went.";
  one.handler = test;
  one.prints_data = true;
  to.add(one);

  one = {};
  one.name = "alerts clear";
  one.sentence = "Clears an alert that a person has looked after; one whose cause lasts is raised again.";
  one.handler = clear;
  one.prints_data = true;
  one.operands = "ID";
  one.min_operands = one.max_operands = 1;
  to.add(one);
}

}  // namespace fleet::central::cli
