#include <ostream>

#include "common/base/decimal.hpp"
#include "common/daemon/input.hpp"
#include "common/messages/reader.hpp"
#include "singularity_agent/cli/commands.hpp"
#include "singularity_agent/cli/session.hpp"

namespace fleet::agent::cli {
namespace {

using daemon::invocation;

int votes(const invocation& call) {
  return print_list(call, "/v1/votes", "votes",
                    {{"proposal_id", "proposal"},
                     {"instance_id", "proposed by"},
                     {"agent_type", "agent type"},
                     {"impact_score", "impact"},
                     {"risk_score", "risk"},
                     {"deadline", "deadline"},
                     {"metadata.description", "description"}});
}

int vote(const invocation& call) {
  const auto& choice = call.positionals[1];
  if (choice != "approve" && choice != "reject") return usage(call, "expected approve or reject, got '" + choice + "'");
  const auto confidence = base::decimal::parse(call.option("confidence"));
  if (!confidence || *confidence < messages::unit_range.min || *confidence > messages::unit_range.max)
    return usage(call, "--confidence: expected a number from 0 to 1");
  if (!call.has("reason")) return usage(call, "--reason is missing");
  boost::json::object body;
  body["proposal_id"] = call.positionals[0];
  body["vote"] = choice;
  body["confidence"] = messages::to_json(*confidence);
  body["reason"] = call.option("reason");
  api_call what;
  what.method = "POST";
  what.target = "/v1/votes";
  what.body = std::move(body);
  return print_done(call, what, "voted");
}

int pattern(const invocation& call) {
  auto body = daemon::read_json_input(call.positionals[0]);
  if (!body) return usage(call, body.error().message);
  api_call what;
  what.method = "POST";
  what.target = "/v1/patterns";
  what.body = std::move(*body);
  return print_done(call, what, "reported");
}

int suggest(const invocation& call) {
  const auto code = daemon::read_input(call.positionals[1]);
  if (!code) return usage(call, code.error().message);
  return with_agent(call, [&](const agent_address& at) {
    boost::json::object body;
    body["pattern_type"] = call.positionals[0];
    body["code"] = *code;
    api_call what;
    what.method = "POST";
    what.target = "/v1/patterns/suggest";
    what.body = std::move(body);
    const auto answer = call_agent(at, what);
    if (!answer) return refuse(call, answer.error().message);
    daemon::print_rows(*call.out, call.json,
                       {{"pattern_id", "pattern"},
                        {"similarity", "similarity"},
                        {"success_rate", "success"},
                        {"usage_count", "used"},
                        {"code_pattern.description", "description"}},
                       answer->at("suggestions").as_array(), "no pattern fits");
    return daemon::exit_done;
  });
}

int profiles(const invocation& call) {
  return print_list(call, "/v1/safety-profiles", "safety_profiles",
                    {{"agent_type", "agent type"},
                     {"safety_profile.success_rate", "success"},
                     {"safety_profile.error_threshold", "errors"},
                     {"safety_profile.latency_threshold", "latency ms"},
                     {"safety_profile.observation_window_seconds", "window s"},
                     {"source", "source"},
                     {"received_at", "received"}});
}

}  // namespace

void add_fleet_commands(daemon::command_table& to) {
  const auto add = [&to](std::string name, std::string operands, std::string sentence,
                         std::function<int(const invocation&)> handler, std::size_t count,
                         std::vector<daemon::command_option> options = {}) {
    daemon::subcommand one;
    one.name = std::move(name);
    one.operands = std::move(operands);
    one.sentence = std::move(sentence);
    one.handler = std::move(handler);
    one.min_operands = count;
    one.max_operands = count;
    one.prints_data = true;
    one.options = std::move(options);
    to.add(std::move(one));
  };
  add("votes", "", "What waits for a vote of this instance.", votes, 0);
  add("vote", "PROPOSAL approve|reject", "Casts this instance's vote; it is final.", vote, 2,
      {{"confidence", "C", "How sure, from 0 to 1."}, {"reason", "TEXT", "Why."}});
  add("pattern", "FILE|-", "Reports a pattern that worked, a JSON object as POST /v1/patterns takes it.", pattern, 1);
  add("suggest", "TYPE FILE|-", "Confirmed patterns of the type that fit the code in the file.", suggest, 2);
  add("profiles", "", "The safety profiles that the fleet has sent.", profiles, 0);
}

}  // namespace fleet::agent::cli
