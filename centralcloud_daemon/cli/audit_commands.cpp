#include <algorithm>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <cctype>
#include <charconv>
#include <ostream>

#include "centralcloud_daemon/audit/audit_repository.hpp"
#include "centralcloud_daemon/cli/commands.hpp"
#include "centralcloud_daemon/cli/session.hpp"
#include "common/base/json.hpp"

namespace fleet::central::cli {
namespace {

using boost::asio::awaitable;
using daemon::column;
using daemon::invocation;

constexpr std::int64_t max_listed = 10'000;

std::string text_of(const boost::json::object& in, std::string_view key) {
  const auto& value = in.at(boost::json::string_view(key.data(), key.size()));
  return value.is_string() ? std::string(value.get_string()) : base::write_json(value);
}

void print_report(const invocation& call, const boost::json::object& report) {
  const bool intact = report.at("intact").as_bool();
  *call.out << (intact ? "intact" : "NOT intact") << ": " << text_of(report, "entries") << " entries in "
            << text_of(report, "chains") << " chains, " << text_of(report, "seals") << " seals\n";
  if (report.at("head").is_null()) {
    *call.out << "not sealed yet: a coordinator does it, once a minute\n";
  } else {
    *call.out << "head " << text_of(report, "head") << " of " << text_of(report, "sealed_at") << ", "
              << text_of(report, "entries_since_seal") << " entries since\n";
  }
  if (intact) return;
  const std::vector<column> columns = {{"problem", "problem"},      {"chain", "chain"},     {"seq", "entry"},
                                       {"audit_id", "audit id"},    {"at", "at"},           {"action", "action"},
                                       {"proposal_id", "proposal"}, {"explanation", "what"}};
  daemon::print_rows(*call.out, false, columns, report.at("findings").as_array());
  const auto told = report.at("findings").as_array().size();
  if (report.at("findings_total").to_number<std::size_t>() > told)
    *call.out << "the first " << told << " of " << text_of(report, "findings_total") << "\n";
}

awaitable<int> verify_log(const invocation& call, postgres::connection& connection) {
  std::optional<std::string> head;
  if (call.has("head")) head = call.option("head");
  const auto text = co_await audit::verify(connection, std::move(head));
  const auto report = boost::json::parse(text).as_object();
  if (call.json) {
    *call.out << text << '\n';
  } else {
    print_report(call, report);
  }
  co_return report.at("intact").as_bool() ? daemon::exit_done : daemon::exit_refused;
}

int verify(const invocation& call) {
  const auto head = call.option("head");
  const auto is_digit = [](unsigned char c) { return std::isxdigit(c) != 0; };
  if (call.has("head") && (head.size() != 64 || !std::all_of(head.begin(), head.end(), is_digit))) {
    refuse(call, "--head: expected the 64 hexadecimal digits that an earlier verify or a coordinator's log told");
    return daemon::exit_usage;
  }
  return with_database(
      call, [&call](postgres::connection& connection, const settings&) { return verify_log(call, connection); });
}

/// Empty: not given; false: not a number from 1 to `max`.
bool read_number(const invocation& call, std::string_view option, std::int64_t max, std::optional<std::int64_t>& into) {
  if (!call.has(option)) return true;
  const auto text = call.option(option);
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number < 1 || number > max) {
    refuse(call, "--" + std::string(option) + ": expected a number from 1 to " + std::to_string(max));
    return false;
  }
  into = number;
  return true;
}

int list(const invocation& call) {
  audit::list_options what;
  std::optional<std::int64_t> max;
  if (!read_number(call, "before", INT64_MAX, what.before) || !read_number(call, "max", max_listed, max))
    return daemon::exit_usage;
  if (max) what.max = *max;
  if (call.has("proposal")) what.proposal = call.option("proposal");
  return with_database(call, [&call, what](postgres::connection& connection, const settings&) -> awaitable<int> {
    auto wanted = what;
    const auto entries = co_await audit::list(connection, std::move(wanted));
    const std::vector<column> columns = {{"audit_id", "id"},  {"at", "at"},       {"actor", "who"},
                                         {"role", "role"},    {"action", "what"}, {"proposal_id", "proposal"},
                                         {"detail", "detail"}};
    print_list(call, columns, entries, "no entries");
    co_return daemon::exit_done;
  });
}

}  // namespace

void add_audit_commands(daemon::command_table& to) {
  daemon::subcommand one;
  one.name = "audit verify";
  one.sentence = "Checks that nothing in the audit log was changed, removed or reordered, and says where.";
  one.handler = verify;
  one.prints_data = true;
  one.options = {{"head", "HASH", "A head noted earlier: what was in the log then must still be there."}};
  to.add(one);

  one = {};
  one.name = "audit list";
  one.sentence = "Lists who did what, newest first.";
  one.handler = list;
  one.prints_data = true;
  one.options = {{"proposal", "ID", "Only what is about this proposal."},
                 {"before", "ID", "Only entries before this one, to page on."},
                 {"max", "N", "At most so many; 100 otherwise."}};
  to.add(one);
}

}  // namespace fleet::central::cli
