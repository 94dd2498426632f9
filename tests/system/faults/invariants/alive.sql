-- The fleet did its work: of what was handed in, most was voted on, decided, carried out, watched and, where it does harm, taken back. Otherwise
-- that nothing went wrong would only mean that nothing happened.
with run as (
  select n.at as since, (n.detail ->> 'proposal_gap_ms')::float8 / 1000 as proposal_gap, (n.detail ->> 'call_gap_ms')::float8 / 1000 as call_gap,
         (select max(h.at) from faults.history h where h.kind = 'call') - n.at as seconds
    from faults.history n where n.kind = 'note' and n.op = 'load'),
fault as (
  select b.op, b.who, b.seq, b.at as since, (select min(e.at) from faults.history e where e.kind = 'fault' and e.op = b.op and e.answer = 'ended' and e.seq > b.seq) as until,
         (select min(r.at) from faults.history r where r.kind = 'recovery' and r.op = b.op and r.seq > b.seq) as recovered
    from faults.history b where b.kind = 'fault' and b.answer = 'begun'
     and not exists (select from faults.history s where s.op = 'skipped' and s.subject = b.op)),
silence as (select coalesce(sum(f.recovered - f.since), 0) as seconds from fault f where f.op = 'quiet_outage'),
call as (
  select h.op, h.began, h.at, h.answer, h.subject, h.detail ->> 'agent' as agent, h.answer in ('done', 'spooled') as good
    from faults.history h where h.kind = 'call'),
proposal as (  -- what became of each that was acknowledged
  select c.subject as id, split_part(c.subject, '-', 1) as kind, d.status, exists (select from faults.git_commit g where g.proposal_id = c.subject and g.kind = 'apply') as applied,
         exists (select from centralcloud.step s where s.proposal_id = c.subject and s.state = 'confirmed') as confirmed, r.outcome
    from (select distinct c.subject from call c where c.op in ('propose', 'propose_again') and c.good) c
    left join centralcloud.decision d on d.proposal_id = c.subject left join centralcloud.rollback r on r.proposal_id = c.subject),
opened as (select count(*) as n from centralcloud.proposal p where p.deadline is not null),
figure (what, n, least) as (
  select 'proposals were acknowledged', (select count(*) from proposal), 0.3 * 3 * (r.seconds - s.seconds) / r.proposal_gap from run r, silence s
  union all select 'calls to agents were acknowledged', count(*) filter (where good), 0.6 * count(*) from call where agent is not null and op <> 'metrics'
  union all select 'of the good and the harmful were approved', count(*) filter (where status = 'approved'), 0.7 * count(*) from proposal where kind <> 'poor'
  union all select 'of the poor were rejected', count(*) filter (where status = 'rejected'), 0.7 * count(*) from proposal where kind = 'poor'
  union all select 'of the good and the harmful were carried out', count(*) filter (where applied), 0.6 * count(*) from proposal where kind <> 'poor'
  union all select 'of the good were confirmed', count(*) filter (where confirmed), 0.3 * count(*) from proposal where kind = 'good'
  union all select 'of the harmful were rolled back', count(*) filter (where outcome = 'rolled_back'), 0.6 * count(*) from proposal where kind = 'harmful'
  union all select 'votes were counted', count(*) filter (where v.counted), 1.2 * (select n from opened) from centralcloud.vote v
  union all select 'votes came from ' || a.who, (select count(*) from centralcloud.vote v where v.instance_id = a.who), 0.4 * (select n from opened)
              from unnest('{agent-0,agent-1,agent-2}'::text[]) a(who)
  union all select 'votes by hand were acknowledged', count(*) filter (where good), 0.3 * (select n from opened) from call where op = 'vote'
  union all select 'samples came to the Guardian', count(*), 2 * (select count(*) from proposal where applied) from centralcloud.sample
  union all select 'pattern reports were counted', coalesce(sum(s.reports), 0), 0.6 * (select count(*) from call where op in ('pattern', 'shared_pattern'))
              from centralcloud.pattern_source s
  union all select 'figures of agents themselves were acknowledged', count(*) filter (where good), 0.5 * count(*) from call where op = 'agent_metrics'
  union all select 'figures of changes were acknowledged', count(*) filter (where good), 0.2 * count(*) from call where op = 'metrics'
  union all select 'batches were published', count(*) filter (where good), 0.3 * (r.seconds - s.seconds) / (r.call_gap / 2)
              from run r cross join silence s left join call on op = 'publish' group by r.seconds, s.seconds, r.call_gap
  union all select 'rollbacks by a person were begun', count(*) filter (where good), count(*) / 20 from call where op = 'operator_rollback'
  union all select 'dead letters were retried by a person', count(*) filter (where good), count(*) / 3 from call where op = 'dlq_retry'
  union all select 'times dead letters were cleared away', count(*) filter (where good), count(*) / 3 from call where op = 'dlq_purge'
  union all select 'safety profiles were learned', count(*), ((select count(*) from proposal where confirmed) >= 12)::int from centralcloud.safety_profile
  union all select 'replies to COMMIT were lost', sum((h.detail ->> 'count')::int), 1 from faults.history h where h.op = 'replies_lost' having count(*) > 0
  union all select format('answers "spooled" of %s in %s', coalesce(nullif(f.who, ''), 'all'), f.op),
                   (select count(*) from call c where c.answer = 'spooled' and (f.who = '' or c.agent = f.who) and c.at between f.since and f.until),
                   case when f.op like 'spool\_%' then 3 when f.until - f.since > 5 then 1 else 0 end
              from (select f.*, coalesce(f.who, '') as target from fault f) g cross join lateral (select g.op, g.target as who, g.since, g.until) f
             where f.op like 'spool\_%' or f.op = 'database_away')
select f.what, format('%s, and at least %s were to be', coalesce(f.n, 0), floor(f.least)) from figure f where coalesce(f.n, 0) < floor(f.least)
union all
select 'the suite', 'made no note of its load' where not exists (select from run)
union all
select c.subject, 'reported by all three, and not confirmed'
  from call c left join centralcloud.pattern p on p.pattern_type = c.subject and p.state <> 'observed'
 where c.op = 'shared_pattern' and c.good group by c.subject having count(distinct c.agent) = 3 and count(p.pattern_id) = 0
union all
select 'calls to agents', format('%s of %s were not answered while nothing was broken: %s', c.bad, c.n, c.answers)
  from (select count(*) as n, count(*) filter (where answer in ('ambiguous', 'unsent', 'unavailable')) as bad,
               string_agg(distinct op || ' ' || answer, ', ') filter (where answer in ('ambiguous', 'unsent', 'unavailable')) as answers
          from call where agent is not null
           and not exists (select from fault f where f.op not in ('calm', 'proposals_at_once', 'poison_burst') and began < coalesce(f.recovered, 'infinity') and at > f.since)) c
 where c.bad > 2 + 0.01 * c.n
