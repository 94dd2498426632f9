#include "tests/system/faults/intruder.hpp"

#include <fmt/format.h>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "common/postgres/error.hpp"
#include "common/postgres/sqlstate.hpp"
#include "tests/system/faults/load.hpp"

namespace fleet::test::faults {

namespace json = boost::json;

namespace {

/// A message as agent-0 would send it.
std::string message(const std::string& type, const std::string& proposal, json::object more) {
  more["type"] = type;
  more["proposal_id"] = proposal;
  more["instance_id"] = "agent-0";
  more["agent_type"] = "IntruderAgent";
  more["timestamp"] = "2026-01-31T12:00:00.000000Z";
  return json::serialize(more);
}

std::string publish(const std::string& queue, const std::string& body, const std::string& recipient = "null") {
  return fmt::format("select quantumflow.publish('{}', '{}', {})", queue, body, recipient);
}

}  // namespace

std::vector<attempt> attempts(const std::string& proposal) {
  const auto vote = message("vote", proposal, {{"vote", "reject"}, {"confidence", 0.99}, {"reason", "intruder"}});
  const auto offer = message("proposal_for_consensus", "intruder",
                             {{"code_change", {{"files", {{"work/intruder", "x"}}}}},
                              {"impact_score", 8},
                              {"risk_score", 1},
                              {"safety_profile", {{"needs_consensus", false}}}});
  const auto breach = message(
      "execution_metrics", proposal,
      {{"metrics_before", {{"error_rate", 0.01}}}, {"metrics_after", {{"error_rate", 0.9}}}, {"status", "monitoring"}});
  const auto pattern = message("pattern_discovered", proposal,
                               {{"pattern_type", "intruder"},
                                {"code_pattern", {{"before", "a"}, {"after", "intruder"}, {"description", "x"}}},
                                {"success_rate", 1}});
  const auto trigger = message("rollback_trigger", proposal, {{"reason", "operator"}, {"threshold", json::object()}});
  const auto result = message(
      "consensus_result", proposal,
      {{"status", "approved"}, {"votes", json::object()}, {"confidence", 1}, {"decision_rationale", "intruder"}});
  return {
      {"votes for another", publish("votes_for_consensus_queue", vote)},
      {"proposes for another", publish("proposals_for_consensus_queue", offer)},
      {"measures for another", publish("metrics_to_guardian_queue", breach)},
      {"finds a pattern for another", publish("patterns_for_aggregator_queue", pattern)},
      {"votes for another among many",
       fmt::format("select quantumflow.publish_many('votes_for_consensus_queue', array['{}'])", vote)},
      {"votes for another once",
       fmt::format("select quantumflow.publish_once('agent-0', 1, 'votes_for_consensus_queue', array['{}'])", vote)},
      {"triggers another's rollback", publish("rollback_triggers_queue", trigger, "'agent-0'")},
      {"triggers a rollback of its own", publish("rollback_triggers_queue", trigger, "'agent-1'")},
      {"begins a rollback",
       fmt::format("select centralcloud.start_rollback('x', '{}', 'operator', '{{}}', '{{}}', 'x', 'x')", proposal)},
      {"sends a decision", publish("consensus_results_queue", result, "'agent-1'")},
      {"decides", fmt::format("select centralcloud.decide('{}', 'approved', 'consensus', 'x', 1, 'x')", proposal)},
      {"records a vote",
       fmt::format("select centralcloud.record_vote('{}', 'agent-0', 'reject', 1, 'x', now())", proposal)},
      {"takes another's triggers", "select quantumflow.take('rollback_triggers_queue', 'agent-0', 10)"},
      {"takes another's decisions", "select quantumflow.take_lane('consensus_results_queue', 'agent-0', 10)"},
      {"takes the coordinators' votes", "select quantumflow.take('votes_for_consensus_queue', 'centralcloud', 10)"},
      {"subscribes for another", "select quantumflow.subscribe('voting_requests_queue', 'agent-0')"},
      {"sees another's waiting messages",
       "select * from quantumflow.list_pending_messages('consensus_results_queue') where consumer_group <> 'agent-1'"},
      {"sees the log", "select body from quantumflow.message limit 1"},
      {"sees another's proposals",
       "select proposal_id from singularity.proposal where instance_id <> 'agent-1' limit 1"},
      {"sees another's rollbacks",
       "select proposal_id from singularity.rollback where instance_id <> 'agent-1' limit 1"},
      {"sees votes", "select vote from centralcloud.vote limit 1"},
      {"sees the audit log", "select actor from centralcloud.audit_log limit 1"},
      {"acts on another's proposal", fmt::format("select singularity.find_proposal('agent-0', '{}')", proposal)},
      {"claims to be another", "select singularity.claim_instance('agent-0', 'intruder', 'here', false, 0)"},
      {"says that another lives", "select centralcloud.heartbeat('agent-0', 'x', '{voter}')"},
      {"writes an audit entry", "select centralcloud.audit('agent-0', 'decision', 'x', null)"},
      {"changes a row of its own", "update singularity.proposal set status = 'applied' where instance_id = 'agent-1'"},
      {"deletes", "delete from singularity.proposal_step"},
      {"retries dead letters", "select quantumflow.retry_dlq_message(1)"},
      {"purges dead letters", "select quantumflow.purge_dlq()"},
      {"becomes a coordinator", "set role centralcloud"},
      {"becomes the owner", "set role quantumflow_owner"},
      {"becomes another", R"(set session authorization "faults_agent-0")"}};
}

attempt own_right() {
  return {"sees who it is", "select instance_id from quantumflow.instance_role"};
}

/// Each in turn; now and then something that it may do.
void load::intrude(caller& as, std::uint64_t n) {
  const auto all = attempts(recent(as));
  const bool allowed = n % 5 == 0;
  const auto what = allowed ? own_right() : all[(n - n / 5) % all.size()];
  entry made{.who = as.name, .op = allowed ? "own_right" : "intrusion", .subject = what.what, .began = now()};
  try {
    const auto rows = session(as.name).query(what.sql);
    // What only looks may be answered, too, with nothing.
    made.answer = rows.empty() && what.what.starts_with("sees") ? "nothing" : "done";
  } catch (const not_sent& error) {
    made.answer = "unsent";
  } catch (const postgres::sql_error& error) {
    using postgres::sql_kind;
    made.answer =
        error.kind() == sql_kind::permission ? "refused"
        : error.to_error().kind == base::error_kind::unavailable || error.to_error().kind == base::error_kind::timeout
            ? "ambiguous"
            : "wrong";
    made.detail["error"] = error.what();
  }
  record_.add(std::move(made));
}

}  // namespace fleet::test::faults
