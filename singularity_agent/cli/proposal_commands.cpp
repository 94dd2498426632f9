#include <fmt/format.h>

#include <ostream>

#include "common/base/json.hpp"
#include "common/daemon/input.hpp"
#include "singularity_agent/cli/commands.hpp"
#include "singularity_agent/cli/follow.hpp"
#include "singularity_agent/cli/session.hpp"
#include "singularity_agent/execution/journal_detail.hpp"
#include "singularity_agent/proposals/states.hpp"

namespace fleet::agent::cli {
namespace {

using daemon::invocation;
using execution::object_of;
using execution::text_of;

int propose(const invocation& call) {
  auto body = daemon::read_json_input(call.positionals[0]);
  if (!body) return usage(call, body.error().message);
  return with_agent(call, [&](const agent_address& at) {
    api_call what;
    what.method = "POST";
    what.target = "/v1/proposals";
    what.body = std::move(*body);
    const auto answer = call_agent(at, what);
    if (!answer) return refuse(call, answer.error().message);
    const auto id = text_of(*answer, "proposal_id");
    const bool spooled = answer->contains("spooled");
    if (call.json) {
      *call.out << base::write_json(*answer) << '\n';
    } else {
      *call.out << fmt::format("proposal {} ({}{})\n", id, text_of(*answer, "status"),
                               spooled ? ", kept by the agent: the database is away" : "");
    }
    return call.has("wait") ? follow(call, at, id, spooled) : daemon::exit_done;
  });
}

int list(const invocation& call) {
  auto target = "/v1/proposals?limit=" + http::percent_encode(call.option("limit", "100"));
  if (call.has("status")) {
    const auto known = proposals::parse_proposal_state(call.option("status"));
    if (!known) return usage(call, "--status: " + known.error().message);
    target += "&status=" + http::percent_encode(call.option("status"));
  }
  if (call.has("after")) target += "&after=" + http::percent_encode(call.option("after"));
  return print_list(call, target, "proposals",
                    {{"proposal_id", "proposal"},
                     {"status", "status"},
                     {"agent_type", "agent type"},
                     {"priority_score", "priority"},
                     {"submitted_at", "submitted"},
                     {"description", "description"}});
}

void print_story(std::ostream& out, const boost::json::object& story) {
  out << daemon::format_record({{"proposal_id", "proposal"},
                                {"status", "status"},
                                {"agent_type", "agent type"},
                                {"description", "description"},
                                {"impact_score", "impact"},
                                {"risk_score", "risk"},
                                {"priority_score", "priority"},
                                {"base_commit", "base commit"},
                                {"applied_commit", "commit"},
                                {"watch_until", "watched until"},
                                {"failure", "failure"}},
                               story);
  out << "\nhistory\n";
  print_steps(out, story, 0, false);
  if (const auto& votes = story.at("votes").as_array(); !votes.empty()) {
    out << "\nvotes\n"
        << daemon::format_table(
               {{"instance_id", "instance"}, {"vote", "vote"}, {"confidence", "confidence"}, {"reason", "reason"}},
               votes);
  }
  if (const auto& samples = story.at("samples").as_array(); !samples.empty()) {
    out << "\nsamples\n"
        << daemon::format_table({{"taken_at", "taken"},
                                 {"status", "status"},
                                 {"metrics_after.success_rate", "success"},
                                 {"metrics_after.error_rate", "errors"},
                                 {"metrics_after.latency_p95_ms", "p95 ms"},
                                 {"metrics_after.cpu_usage", "cpu %"}},
                                samples);
  }
  if (const auto rollback = object_of(story, "rollback"); !rollback.empty()) {
    out << "\nrollback\n"
        << daemon::format_record({{"state", "state"}, {"reason", "reason"}, {"requested_at", "requested"}}, rollback);
    if (const auto* steps = rollback.if_contains("steps"); steps != nullptr && steps->is_array())
      out << daemon::format_table({{"name", "step"}, {"outcome", "outcome"}, {"detail", "detail"}}, steps->as_array());
  }
}

int show(const invocation& call) {
  return with_agent(call, [&](const agent_address& at) {
    api_call what;
    what.target = "/v1/proposals/" + http::percent_encode(call.positionals[0]);
    const auto story = call_agent(at, what);
    if (!story) return refuse(call, story.error().message);
    if (call.json) {
      *call.out << base::write_json(*story) << '\n';
    } else {
      print_story(*call.out, *story);
    }
    return daemon::exit_done;
  });
}

int report(const invocation& call) {
  auto body = daemon::read_json_input(call.positionals[1]);
  if (!body) return usage(call, body.error().message);
  api_call what;
  what.method = "POST";
  what.target = "/v1/proposals/" + http::percent_encode(call.positionals[0]) + "/metrics";
  what.body = std::move(*body);
  return print_done(call, what, "reported");
}

daemon::subcommand command(std::string name, std::string operands, std::string sentence,
                           std::function<int(const invocation&)> handler, std::size_t operand_count) {
  daemon::subcommand one;
  one.name = std::move(name);
  one.operands = std::move(operands);
  one.sentence = std::move(sentence);
  one.handler = std::move(handler);
  one.min_operands = operand_count;
  one.max_operands = operand_count;
  one.prints_data = true;
  return one;
}

}  // namespace

void add_proposal_commands(daemon::command_table& to) {
  auto one =
      command("propose", "FILE|-", "Submits a proposal, a JSON object as POST /v1/proposals takes it.", propose, 1);
  one.options = {
      {"wait", "", "Follows it to its end, showing each step with its time; exit 0 if it was applied and stays."}};
  to.add(one);
  one = command("proposals", "", "Lists this instance's proposals, newest first.", list, 0);
  one.options = {{"status", "STATE", "Only those in this state."},
                 {"limit", "N", "At most that many (100)."},
                 {"after", "ID", "Only those behind this one, to page on."}};
  to.add(one);
  to.add(command("proposal", "ID", "The whole story of one proposal.", show, 1));
  to.add(command("report-metrics", "PROPOSAL FILE|-", "Reports metrics of a change that is being watched.", report, 2));
}

}  // namespace fleet::agent::cli
