#include "tests/bench/dashboard_bench/seed.hpp"

#include <algorithm>
#include <cstdio>

namespace fleet::bench {
namespace {

/// One proposal's whole way. Of a hundred five are being voted on, five are rejected, five approved and not begun, one
/// each is executing and failed, eight are rolled back; of five hundred one is watched; the rest is confirmed.
constexpr auto story = R"sql(
create function public.bench_story(n int) returns void language plpgsql as $$
declare
  id text := 'bench-' || to_char(n, 'FM000000');
  who text := 'instance-' || to_char(n % 5, 'FM0000');
  kind text := (array['BugFixerAgent', 'OptimizationAgent', 'RefactoringAgent'])[1 + n % 3];
  patch text := (select '--- a/src/part.cpp' || e'\n+++ b/src/part.cpp\n@@ -1,20 +1,20 @@\n' || string_agg(
    format(e'-  old_call(%s, %s);\n+  new_call(%s, %s);', i, n, i, n), e'\n') from generate_series(1, 20) i);
  sample record;
  rate numeric;
begin
  perform centralcloud.receive_proposal(jsonb_build_object('type', 'code_proposal', 'proposal_id', id, 'instance_id', who,
    'agent_type', kind, 'code_change', jsonb_build_object('patch', patch), 'impact_score', 2 + n % 8, 'risk_score', n % 6,
    'safety_profile', '{"error_threshold": 0.1, "needs_consensus": true}'::jsonb, 'timestamp', now(),
    'metadata', jsonb_build_object('change_type', 'refactoring', 'description', format('Replace the calls of part %s', n))));
  perform centralcloud.open_vote(id, case when n % 100 < 5 then 7200000 else 60000 end, 3600000, true, 1, 0);
  perform centralcloud.record_vote(id, 'instance-' || to_char(v, 'FM0000'), case when n % 100 between 5 and 9 then 'reject' else 'approve' end,
    0.9, 'the part is covered by tests', clock_timestamp()) from generate_series(0, case when n % 100 < 5 then 1 else 4 end) v;
  if n % 100 < 5 then return; end if;
  perform centralcloud.decide(id, case when n % 100 < 10 then 'rejected' else 'approved' end,
    case when n % 100 < 10 then 'majority_reject' else 'consensus' end, '5 of 5 agree', 0.9, 'centralcloud');
  if n % 100 < 15 then return; end if;
  perform centralcloud.record_sample(id, who, 'executing', '{"success_rate": 0.99, "error_rate": 0.01, "latency_p95_ms": 120}', '{}',
                                     clock_timestamp(), 0);
  if n % 100 = 15 then return; end if;
  for i in 1..case when n = 40 then 1000 else 6 end loop
    rate := case when n % 100 between 17 and 24 and i > 3 then 0.7 else 0.99 - 0.001 * (i % 7) end;
    select * into sample from centralcloud.record_sample(id, who, case when i = 1 then 'applied' else 'monitoring' end, '{}',
      jsonb_build_object('success_rate', rate, 'error_rate', 1 - rate, 'latency_p95_ms', 118 + i % 9),
      clock_timestamp(), case when n % 500 = 16 then 3600000 else 0 end);
    perform centralcloud.record_assessment(id, sample.sample_id, '{}', case when rate > 0.8 then '[]' else
      '[{"reason": "success_rate_breach", "metric": "success_rate", "threshold": 0.85, "actual": 0.7, "severity": "critical"}]'::jsonb end);
  end loop;
  if n % 100 = 25 then
    perform centralcloud.record_sample(id, who, 'failed', '{}', '{}', clock_timestamp(), 0);
  elsif n % 100 between 17 and 24 then
    perform centralcloud.start_rollback(id, 'rb-' || id, 'success_rate_breach', '{"success_rate": 0.85, "actual": 0.7}',
                                        '{"steps": ["revert_commit", "verify"]}', 'guardian', null);
    perform centralcloud.record_sample(id, who, 'rolled_back', '{}', '{}', clock_timestamp(), 0);
  elsif n % 500 <> 16 then
    perform centralcloud.confirm_due_change();
  end if;
end $$)sql";

constexpr auto surroundings = R"sql(
select quantumflow.publish('votes_for_consensus_queue', jsonb_build_object('proposal_id', 'nonsense-' || n)) from generate_series(1, 200) n;
select centralcloud.record_pattern('pattern-' || n, 'form-' || n, 'batching', jsonb_build_object('before', 'a', 'after', 'b', 'description',
  'pattern ' || n), 'b', 'instance-' || to_char(i, 'FM0000'), 'BugFixerAgent', 0.95, 10, clock_timestamp())
  from generate_series(1, 200) n, generate_series(0, 2) i;
select centralcloud.set_safety_profile('Agent' || n, '', '{"error_threshold": 0.05}', 'operator', 'bench') from generate_series(1, 20) n)sql";

void add_instances(const test::daemon_fleet& fleet, int instances) {
  const auto all = "(select 'instance-' || to_char(n, 'FM0000') as id, n from generate_series(0, " +
                   std::to_string(instances - 1) + ") n) i";
  fleet.psql(
      "select centralcloud.heartbeat(id, '1.0.0', case when n < 5 then '{proposer,voter,executor}' else "
      "'{proposer,executor}' end::text[]) from " +
      all);
  fleet.psql(
      "select count(quantumflow.subscribe(q, id)::text) from unnest('{voting_requests_queue,consensus_results_queue,"
      "rollback_triggers_queue,guardian_safety_profiles_queue,consensus_patterns_queue}'::text[]) q, " +
      all);
}

}  // namespace

seeded seed(const test::daemon_fleet& fleet, int proposals, int instances) {
  add_instances(fleet, instances);
  fleet.psql(story);
  for (int from = 1; from <= proposals; from += 500) {
    const int to = std::min(from + 499, proposals);
    fleet.psql("select count(public.bench_story(n)::text) from generate_series(" + std::to_string(from) + ", " +
               std::to_string(to) + ") n");
    std::printf("\rseeding: %d proposals", to);
    std::fflush(stdout);
  }
  std::printf("\n");
  fleet.psql(surroundings);
  fleet.psql("vacuum analyze");
  seeded made;
  made.rolled_back = "bench-000017";
  made.longest = "bench-000040";
  made.in_the_middle = fleet.psql("select proposal_id from centralcloud.proposal order by received_at offset " +
                                  std::to_string(proposals / 2) + " limit 1");
  return made;
}

}  // namespace fleet::bench
