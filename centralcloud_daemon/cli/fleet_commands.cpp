#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <ostream>

#include "centralcloud_daemon/cli/commands.hpp"
#include "centralcloud_daemon/cli/session.hpp"
#include "centralcloud_daemon/cli/story.hpp"
#include "centralcloud_daemon/guardian/watch.hpp"
#include "centralcloud_daemon/overview_repository.hpp"
#include "common/base/json.hpp"
#include "common/base/text.hpp"
#include "common/postgres/transaction.hpp"

namespace fleet::central::cli {
namespace {

using boost::asio::awaitable;
using daemon::column;
using daemon::invocation;

constexpr std::size_t max_reason_bytes = 2000;

/// The first page.
page first(list_length length) {
  page wanted;
  wanted.max = length.asked();
  return wanted;
}

int proposals(const invocation& call) {
  const auto length = list_length::of(call);
  if (!length) return daemon::exit_usage;
  std::optional<std::string> status;
  if (call.has("status")) status = call.option("status");
  if (status) {
    const auto known = check_proposal_status(*status);
    if (!known) {
      refuse(call, "--" + known.error().message);
      return daemon::exit_usage;
    }
  }
  return with_database(call, [&](postgres::connection& connection, const settings&) -> awaitable<int> {
    auto wanted = first(*length);
    const auto list = co_await list_proposals(connection, status, std::move(wanted));
    const std::vector<column> columns = {{"proposal_id", "proposal"},
                                         {"instance_id", "instance"},
                                         {"agent_type", "agent type"},
                                         {"status", "status"},
                                         {"rule", "rule"},
                                         {"votes", "votes"},
                                         {"electorate", "voters"},
                                         {"received_at", "received at"}};
    print_list(call, columns, list, "no proposals", *length);
    co_return daemon::exit_done;
  });
}

int proposal(const invocation& call) {
  return with_database(call, [&call](postgres::connection& connection, const settings&) -> awaitable<int> {
    const base::proposal_id id(call.positionals.front());
    const auto story = co_await read_story(connection, id);
    if (!story) co_return refuse(call, "there is no proposal \"" + id.str() + "\"");
    if (call.json) {
      *call.out << story->text << '\n';
    } else {
      *call.out << format_story(boost::json::parse(story->text).as_object());
    }
    co_return daemon::exit_done;
  });
}

awaitable<int> trigger(const invocation& call, postgres::connection& connection, const settings& with) {
  telemetry::metrics metrics;
  const auto log = telemetry::logger::none();
  telemetry::event_counter events(metrics, log, telemetry::daemon_prefix::centralcloud);
  producers out(events, base::system_clock());
  guardian::watch changes(out, with.guardian, log, metrics);
  guardian::watch::operator_request wanted;
  wanted.proposal = base::proposal_id(call.positionals.front());
  wanted.reason = call.option("reason");
  wanted.actor = "operator (command line)";
  const auto work = [&](postgres::transaction& open) { return changes.roll_back_by_operator(open, wanted); };
  const auto answered = co_await postgres::in_transaction(connection, work);
  if (!answered) co_return refuse(call, answered.error().message);
  if (call.json) {
    boost::json::object answer;
    answer["proposal_id"] = wanted.proposal.str();
    answer["rollback_id"] = answered->rollback_id;
    answer["again"] = answered->again;
    *call.out << base::write_json(answer) << '\n';
  } else {
    *call.out << "rollback " << answered->rollback_id
              << (answered->again ? " was triggered before; its trigger is sent again\n" : " is triggered\n");
  }
  co_return daemon::exit_done;
}

int rollback(const invocation& call) {
  const auto reason = call.option("reason");
  if (base::trim(reason).empty() || reason.size() > max_reason_bytes || base::has_control_characters(reason)) {
    refuse(call, call.has("reason") ? "--reason: expected a text of 1 to 2000 bytes without control characters"
                                    : "--reason TEXT is needed: why, for the audit log");
    return daemon::exit_usage;
  }
  return with_database(call, [&call](postgres::connection& connection, const settings& with) {
    return trigger(call, connection, with);
  });
}

int instances(const invocation& call) {
  const auto length = list_length::of(call);
  if (!length) return daemon::exit_usage;
  return with_database(
      call, [&call, &length](postgres::connection& connection, const settings& with) -> awaitable<int> {
        auto wanted = first(*length);
        const auto list = co_await list_instances(connection, with.consensus.heartbeat_timeout, std::move(wanted));
        const std::vector<column> columns = {
            {"instance_id", "instance"}, {"fresh", "fresh"}, {"seen_seconds_ago", "seen s ago"},
            {"version", "version"},      {"roles", "roles"}, {"registered_at", "registered at"}};
        print_list(call, columns, list, "no instance has registered", *length);
        co_return daemon::exit_done;
      });
}

int patterns(const invocation& call) {
  const auto length = list_length::of(call);
  if (!length) return daemon::exit_usage;
  return with_database(call, [&call, &length](postgres::connection& connection, const settings&) -> awaitable<int> {
    const auto list = co_await list_patterns(connection, length->asked());
    const std::vector<column> columns = {
        {"pattern_id", "pattern"},     {"pattern_type", "type"},    {"state", "state"},
        {"instances", "instances"},    {"success_rate", "success"}, {"usage_count", "uses"},
        {"description", "description"}};
    print_list(call, columns, list, "no patterns", *length);
    co_return daemon::exit_done;
  });
}

daemon::subcommand made(std::string name, std::string sentence, std::function<int(const invocation&)> handler) {
  daemon::subcommand one;
  one.name = std::move(name);
  one.sentence = std::move(sentence);
  one.handler = std::move(handler);
  one.prints_data = true;
  return one;
}

}  // namespace

void add_fleet_commands(daemon::command_table& to) {
  auto one = made("proposals", "Lists the newest proposals with where they stand.", proposals);
  one.options = {{"status", "STATUS", "Only those in this state."}, list_length::option()};
  to.add(one);

  one = made("proposal", "Tells the whole story of a proposal: votes, steps, samples, triggers.", proposal);
  one.operands = "ID";
  one.min_operands = one.max_operands = 1;
  to.add(one);

  one =
      made("rollback",
           "Has a change taken back by the instance that applied it; sends the trigger again where that is under way.",
           rollback);
  one.operands = "PROPOSAL";
  one.min_operands = one.max_operands = 1;
  one.options = {{"reason", "TEXT", "Why; kept in the audit log. Required."}};
  to.add(one);

  one = made("instances", "Lists the instances and when each was last heard of.", instances);
  one.options = {list_length::option()};
  to.add(one);

  one = made("patterns", "Lists reported patterns, most recently seen first.", patterns);
  one.options = {list_length::option()};
  to.add(one);
}

}  // namespace fleet::central::cli
