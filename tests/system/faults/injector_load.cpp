// Faults that are nothing but messages: bad ones, and too many.
#include <fmt/format.h>

#include "tests/system/faults/injector.hpp"

namespace fleet::test::faults {

namespace {

using std::chrono::milliseconds;
using steady = std::chrono::steady_clock;

/// What was said of late is said again, many times, as if every publisher had gone mad; all of it must be without
/// effect. Where saying it twice counts twice (patterns), or where it is counted by the suite, something is made up.
constexpr auto gather_flood = R"(
  create temp table said as
  with recent as (
    select q.name, s.recipient, m.body, row_number() over (partition by q.name order by m.msg_id desc) as n
      from quantumflow.message m join quantumflow.stream s using (stream_id) join quantumflow.queue q using (queue_id)
     where q.name in ('proposals_for_consensus_queue', 'votes_for_consensus_queue', 'metrics_to_guardian_queue',
                      'voting_requests_queue', 'consensus_results_queue') and not m.body::jsonb ? 'poison'),
  made_up(name, body) as (values
    ('patterns_for_aggregator_queue', '{"type": "pattern_discovered", "instance_id": "agent-0", "pattern_type": "flood",
       "code_pattern": {"before": "a", "after": "flood", "description": "f"}, "success_rate": 0.5, "agent_type": "FloodAgent"}'),
    ('guardian_safety_profiles_queue', '{"type": "safety_profile_update", "instance_id": "broadcast",
       "agent_type": "FloodAgent", "safety_profile": {"success_rate": 0.5}, "source": "operator"}'),
    ('consensus_patterns_queue', '{"type": "consensus_pattern", "pattern_id": "flood", "pattern_type": "flood",
       "code_pattern": {"before": "a", "after": "flood", "description": "f"}, "success_rate": 0.5, "consensus_score": 0.5,
       "source_instances": ["agent-0"], "usage_count": 1}'),
    ('learning_loop_completed_queue', '{"type": "learning_loop_completed"}'))
  select name, recipient, body::jsonb as body, n - 1 as k, count(*) over (partition by name) as of from recent where n <= 10
  union all
  select name, null, body::jsonb || '{"timestamp": "2026-01-31T12:00:00.000000Z"}', 0, 1 from made_up)";

/// As many of each queue, unless there is a backlog already: a flood is a queue that is never empty. Gives how many of
/// each.
constexpr auto pour = R"(
  select s.name, count(quantumflow.publish(s.name, s.body, s.recipient)) from generate_series(1, 60) i join said s on s.k = i % s.of
   where (select count(*) from (select from quantumflow.unread limit 5000) u) < 5000 group by s.name)";

constexpr std::chrono::seconds longest_flood{30};

}  // namespace

void injector::poison_burst() {
  sql_session admin(with_.fleet.admin_url(), "poisoner");
  admin.query(
      "select quantumflow.publish(q, jsonb_build_object('type', 'nonsense', 'poison', 'burst')) from "
      "generate_series(1, 10), unnest('{proposals_for_consensus_queue,votes_for_consensus_queue,"
      "metrics_to_guardian_queue,patterns_for_aggregator_queue}'::text[]) q");
  admin.query(
      "select quantumflow.publish(q, jsonb_build_object('type', 'nonsense', 'poison', 'burst'), r) from "
      "unnest('{rollback_triggers_queue,consensus_results_queue}'::text[]) q, "
      "unnest('{agent-0,agent-1,agent-2}'::text[]) r");
}

/// Until the harmful changes that come in the middle of it are being taken back (see
/// invariants/rollbacks_overtake.sql).
void injector::flood(const planned_fault& fault) {
  sql_session admin(with_.fleet.admin_url(), "flooder");
  // An instance carries out one change after the other: the harmful ones must not wait for a hundred others.
  const auto idle = [&] {
    return std::stoi(admin.value("select count(*) from singularity.proposal where status in ('sent_for_consensus', "
                                 "'consensus_reached', 'executing')")) < 6;
  };
  wait_until(idle, std::chrono::seconds(60));
  admin.query(gather_flood);
  std::int64_t published = 0;
  std::map<std::string, std::int64_t> by_queue;
  std::string harmful;
  const auto triggered = [&] {
    return !harmful.empty() &&
           admin.value("select count(*) from singularity.rollback where starts_with(proposal_id, $1)",
                       postgres::make_params(harmful)) == "3";
  };
  const auto began = steady::now();
  const auto lasted = [&](milliseconds time) { return steady::now() - began >= time; };
  while (!lasted(longest_flood) && !(lasted(fault.lasts) && triggered())) {
    for (const auto& row : admin.query(pour)) {
      const auto n = std::stoll(std::string(row.text(std::size_t{1})));
      published += n;
      by_queue[std::string(row.text(std::size_t{0}))] += n;
    }
    if (harmful.empty() && lasted(milliseconds(500))) harmful = with_.calls.burst("harmful-flood", 1);
    let_pass(milliseconds(50));
  }
  entry made{.kind = "note", .op = "flooded"};
  made.detail["published"] = published;
  for (const auto& [queue, n] : by_queue) made.detail[queue] = n;
  with_.record.add(std::move(made));
}

}  // namespace fleet::test::faults
