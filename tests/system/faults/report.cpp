#include "tests/system/faults/report.hpp"

#include <fmt/format.h>

#include <set>

namespace fleet::test::faults {

namespace {

/// A line a row: its columns with two spaces between them.
std::string table(sql_session& admin, const std::string& title, const std::string& sql) {
  auto text = title + "\n";
  for (const auto& row : admin.query(sql)) {
    text += "  ";
    for (std::size_t i = 0; i < row.columns(); ++i) text += (i == 0 ? "" : "  ") + std::string(row.text(i));
    text += "\n";
  }
  return text;
}

}  // namespace

std::string report(const report_parts& of, sql_session& admin) {
  int total = 0;
  std::string kinds;
  for (const auto& [name, count] : of.injected) {
    total += count;
    kinds += fmt::format("  {:<22} {}\n", name, count);
  }
  auto text = fmt::format("faults injected: {}; connections through the proxy: {}, replies to COMMIT lost: {}\n{}",
                          total, of.connections, of.dropped_commits, kinds);
  for (const auto& [name, why] : of.skipped) text += fmt::format("  {:<22} skipped: {}\n", name, why);
  text += table(admin, "calls by answer (done and spooled: acknowledged)", R"(
    select rpad(op, 20), lpad(sum(n)::text, 6), string_agg(answer || ' ' || n, ', ' order by n desc) from (
      select op, answer, count(*) over (partition by op, answer) as n, row_number() over (partition by op, answer) as k
        from faults.history where kind = 'call') c where k = 1 group by op order by op)");
  text += table(admin, "outcome", R"(
    select rpad(what, 34), n from (values
      (1, 'acknowledged calls', (select count(*) from faults.history where kind = 'call' and answer in ('done', 'spooled'))),
      (2, 'proposals decided', (select count(*) from centralcloud.decision)),
      (3, 'changes applied', (select count(*) from faults.git_commit where kind = 'apply')),
      (4, 'rollbacks completed', (select count(*) from singularity.rollback where state = 'completed')),
      (5, 'dead letters (all of them bad)', (select count(*) from quantumflow.dead_letter)),
      (6, 'set aside by spools', (select count(*) from faults.quarantined)),
      (7, 'writes lost in power cuts', (select coalesce(sum((detail ->> 'writes_undone')::int), 0) from faults.history where op = 'power_cut'))) v(place, what, n) order by place)");
  text += table(
      admin, "recovery after a fault, seconds until what waited is handled (p50, max), until all say ready (p50, max)",
      R"(
    select rpad(case when grouping(op) = 1 then 'all' else op end, 20),
           percentile_cont(0.5) within group (order by s)::numeric(8, 2), max(s)::numeric(8, 2),
           percentile_cont(0.5) within group (order by r)::numeric(8, 2), max(r)::numeric(8, 2)
      from (select op, (detail ->> 'seconds')::float8 as s, (detail ->> 'ready_seconds')::float8 as r
              from faults.history where kind = 'recovery' and op <> 'settle') t
     group by grouping sets ((op), ()) order by grouping(op) desc, max(s) desc)");
  text += table(admin, "seconds from a proposal's sending to its decision, all votes: p50, p99, max", R"(
    select percentile_cont(0.5) within group (order by s)::numeric(8, 3), percentile_cont(0.99) within group (order by s)::numeric(8, 3),
           max(s)::numeric(8, 3)
      from (select extract(epoch from d.decided_at - s.at) as s from centralcloud.decision d
              join singularity.proposal_step s on s.proposal_id = d.proposal_id and s.to_state = 'sent_for_consensus') t)");
  text += table(admin,
                "seconds from a breach to its trigger while every other queue was flooded: breaches, p50, max; "
                "messages of the floods",
                R"(
    select count(*), percentile_cont(0.5) within group (order by s)::numeric(8, 3), max(s)::numeric(8, 3),
           (select coalesce(sum((detail ->> 'published')::int), 0) from faults.history where op = 'flooded')
      from (select extract(epoch from r.requested_at - min(s.taken_at)) as s from singularity.sample s join singularity.rollback r using (proposal_id)
             where proposal_id like 'harmful-flood-%' and (s.metrics_after ->> 'error_rate')::numeric > 0.1 group by proposal_id, r.requested_at) t)");
  text += table(admin, "daemons: CPU % p50 and max, RSS MiB max, descriptors max, log bytes/s max", R"(
    select rpad(op, 8), rpad(split_part(who, '-', 1), 12),
           percentile_cont(0.5) within group (order by (detail ->> 'cpu_percent')::float8)::numeric(8, 1),
           max((detail ->> 'cpu_percent')::numeric)::numeric(8, 1), (max((detail ->> 'rss_kib')::numeric) / 1024)::numeric(8, 1),
           max((detail ->> 'descriptors')::int), max((detail ->> 'log_bytes_per_second')::numeric)::numeric(10, 0)
      from faults.history where kind = 'resource' group by op, split_part(who, '-', 1) order by 1, 2)");
  const auto violations_of = [&](const std::set<std::string>& invariants) {
    std::size_t all = 0;
    for (const auto& [invariant, times] : of.violations) all += invariants.count(invariant) * times;
    return all;
  };
  std::size_t violations = 0;
  for (const auto& [invariant, times] : of.violations) violations += times;
  text += fmt::format("acknowledged and lost: {}, effects twice: {}\ninvariants held: {} of {}, violations: {}\n",
                      violations_of({"acknowledged_messages", "acknowledged_agent_metrics", "acknowledged_metrics",
                                     "acknowledged_patterns", "acknowledged_proposals", "acknowledged_votes",
                                     "conservation", "broadcasts"}),
                      violations_of({"executed_once", "one_decision", "one_rollback_a_breach"}),
                      of.invariants - of.violations.size(), of.invariants, violations);
  return text;
}

}  // namespace fleet::test::faults
