#include <algorithm>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <cctype>
#include <cstdint>
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

int list(const invocation& call) {
  audit::list_options what;
  const auto length = list_length::of(call);
  if (!length || !read_number(call, "before", INT64_MAX, what.before)) return daemon::exit_usage;
  what.max = length->asked();
  if (call.has("proposal")) what.proposal = call.option("proposal");
  const auto work = [&call, &what, &length](postgres::connection& connection, const settings&) -> awaitable<int> {
    auto wanted = what;
    const auto entries = co_await audit::list(connection, std::move(wanted));
    const std::vector<column> columns = {{"audit_id", "id"},  {"at", "at"},       {"actor", "who"},
                                         {"role", "role"},    {"action", "what"}, {"proposal_id", "proposal"},
                                         {"detail", "detail"}};
    print_list(call, columns, entries, "no entries", *length);
    co_return daemon::exit_done;
  };
  return with_database(call, work);
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
                 list_length::option()};
  to.add(one);
}

}  // namespace fleet::central::cli
