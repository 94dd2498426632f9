#include "centralcloud_daemon/audit/audit_repository.hpp"

#include <utility>

#include "common/base/json.hpp"

namespace fleet::central::audit {
namespace {

using boost::asio::awaitable;

constexpr std::chrono::minutes verify_limit{10};

/// Whole entries are compared with what follows from them, so whatever was touched shows: an entry's own hash
/// (changed), its place (removed, order), the one before it (replaced), the ends that seals have seen (removed,
/// replaced), and the tables that the log describes (unrecorded).
constexpr std::string_view verify_statement = R"(
with entry as materialized (
  select l.audit_id, l.chain, l.seq, l.at, l.action, l.proposal_id, l.hash,
         case when l.chain = 0 then l.detail -> 'ends' end as ends,
         l.hash is not distinct from sha256(l.previous || convert_to(jsonb_build_array(l.audit_id, l.chain, l.seq,
           (extract(epoch from l.at) * 1000000)::bigint, l.role, l.actor, l.action, l.proposal_id, l.detail)::text, 'UTF8')) as own,
         l.previous = coalesce(lag(l.hash) over w, '') as linked, coalesce(lag(l.seq) over w, 0) as seq_before,
         l.audit_id > coalesce(lag(l.audit_id) over w, 0) as ascending
    from centralcloud.audit_log l window w as (partition by l.chain order by l.seq, l.audit_id)),
sealed as (
  select e.key::int as chain, split_part(e.value, ':', 1)::bigint as seq, split_part(e.value, ':', 2) as hash, min(s.at) as at
    from entry s cross join lateral jsonb_each_text(case jsonb_typeof(s.ends) when 'object' then s.ends else '{}' end) e
   where s.own and e.key ~ '^[0-9]{1,9}$' and e.value ~ '^[0-9]{1,18}:[0-9a-f]{64}$' group by 1, 2, 3),
finding as (
  select 'changed' as problem, e.chain, e.seq, e.audit_id, e.at, e.action, e.proposal_id,
         'its content does not give its hash' as explanation
    from entry e where not e.own
  union all
  select 'removed', e.chain, e.seq, e.audit_id, e.at, e.action, e.proposal_id,
         case when e.seq = e.seq_before + 2 then format('entry %s before it is gone', e.seq - 1)
              else format('entries %s to %s before it are gone', e.seq_before + 1, e.seq - 1) end
    from entry e where e.seq > e.seq_before + 1
  union all
  select 'replaced', e.chain, e.seq, e.audit_id, e.at, e.action, e.proposal_id,
         format('it does not follow from entry %s: one of the two was replaced', e.seq_before)
    from entry e where e.seq = e.seq_before + 1 and e.own and not e.linked
  union all
  select 'order', e.chain, e.seq, e.audit_id, e.at, e.action, e.proposal_id, 'it is not in its place'
    from entry e where e.seq <= e.seq_before or (e.linked and not e.ascending)
  union all
  select case when e.seq is null then 'removed' else 'replaced' end, s.chain, s.seq, e.audit_id, s.at, e.action, e.proposal_id,
         case when e.seq is null then 'a seal has seen it; it is gone, and so is what came after it'
              else 'a seal has seen another entry in this place' end
    from sealed s left join entry e using (chain, seq)
   where case when e.seq is null then not exists (select from entry later where later.chain = s.chain and later.seq > s.seq)
              else encode(e.hash, 'hex') <> s.hash end
  union all
  select 'unrecorded', null, null, null, d.decided_at, 'decision', d.proposal_id,
         'no entry of the log says this decision as the table has it'
    from centralcloud.decision d where not exists (
      select from centralcloud.audit_log l where l.proposal_id = d.proposal_id and l.action = 'decision'
         and l.detail ->> 'status' = d.status and l.detail ->> 'rule' = d.rule and l.detail -> 'votes' = d.vote_details)
  union all
  select 'unrecorded', null, null, null, r.triggered_at, 'rollback_trigger', r.proposal_id,
         'no entry of the log says this rollback as the table has it'
    from centralcloud.rollback r where not exists (
      select from centralcloud.audit_log l where l.proposal_id = r.proposal_id and l.action = 'rollback_trigger'
         and l.detail ->> 'rollback_id' = r.rollback_id and l.detail ->> 'reason' = r.reason)
  union all
  select 'head', null, null, null, null, null, null, format('no entry has the hash %s: what was in the log when it was noted was changed or removed', $1::text)
   where $1::text is not null and not exists (select from entry e where encode(e.hash, 'hex') = lower($1::text))),
last_seal as (select encode(e.hash, 'hex') as head, e.at, e.ends from entry e where e.chain = 0 order by e.seq desc limit 1)
select jsonb_build_object(
    'intact', not exists (select from finding),
    'entries', (select count(*) from entry e where e.chain > 0),
    'chains', (select count(distinct e.chain) from entry e where e.chain > 0),
    'seals', (select count(*) from entry e where e.chain = 0),
    'head', (select s.head from last_seal s),
    'sealed_at', (select to_char(s.at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') from last_seal s),
    'entries_since_seal', (select count(*) from entry e left join (
        select t.chain, max(t.seq) as seq from sealed t group by 1) s using (chain)
       where e.chain > 0 and e.seq > coalesce(s.seq, 0)),
    'findings_total', (select count(*) from finding),
    'findings', (select coalesce(jsonb_agg(jsonb_strip_nulls(to_jsonb(f)) order by f.chain, f.seq, f.proposal_id), '[]')
                   from (select * from finding order by chain, seq, proposal_id limit 1000) f))::text as report)";

}  // namespace

awaitable<std::string> verify(postgres::connection& connection, std::optional<std::string> head) {
  auto args = postgres::make_params(head);
  const std::string statement(verify_statement);
  const auto answer = co_await connection.query(statement, std::move(args), verify_limit);
  co_return answer.single().get<std::string>("report");
}

awaitable<std::string> list(postgres::connection& connection, list_options what) {
  auto args = postgres::make_params(what.proposal, what.before, what.max);
  const auto answer = co_await connection.query(
      "select coalesce(jsonb_agg(item order by n), '[]')::text as list"
      " from centralcloud.list_audit($1, $2, $3) with ordinality as listed(item, n)",
      std::move(args));
  co_return answer.single().get<std::string>("list");
}

awaitable<std::optional<seal>> seal_log(postgres::connection& connection, std::chrono::milliseconds min_age) {
  auto args = postgres::make_params(min_age.count());
  const auto answer = co_await connection.query(
      "select head, entries from centralcloud.seal_audit($1::bigint * interval '1 millisecond')", std::move(args));
  if (answer.empty()) co_return std::nullopt;
  seal made;
  made.head = answer.single().get<std::string>("head");
  made.entries = answer.single().get<std::int64_t>("entries");
  co_return made;
}

awaitable<void> note_reload(postgres::connection& connection, std::string coordinator, boost::json::array changes) {
  auto args = postgres::make_params(coordinator, base::write_json(changes));
  co_await connection.query("select centralcloud.audit_reload($1, $2::jsonb)", std::move(args));
}

}  // namespace fleet::central::audit
