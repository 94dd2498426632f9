-- Every acknowledged sample reaches the Guardian once, or was set aside because no metrics of that proposal were expected; and every sample that an
-- agent published is there (1, 7).
select h.subject, format('for %s, answered "%s" by %s: recorded %s times, set aside %s times: %s', h.detail ->> 'proposal', h.answer,
                         h.detail ->> 'agent', s.n, aside.n, aside.reasons)
  from faults.history h
  cross join lateral (select count(*) as n from centralcloud.sample s
                       where s.proposal_id = h.detail ->> 'proposal' and s.metrics_after ->> 'mark' = h.detail ->> 'mark') s
  cross join lateral (
    select count(*) as n, string_agg(q.reason, '; ') as reasons,
           count(*) filter (where
             -- What it says must be so: the proposal was in that state, or was not there by then.
             exists (select from singularity.proposal_step t where t.proposal_id = h.detail ->> 'proposal' and t.to_state not in ('executing', 'applied')
                        and q.reason = format('proposal ''%s'' is %s: no metrics of it are expected', t.proposal_id, t.to_state))
             or (q.reason = format('there is no proposal ''%s'' here', h.detail ->> 'proposal') and not exists (
                   select from faults.history p join singularity.proposal t on t.proposal_id = p.subject
                    where p.op in ('propose', 'propose_again') and p.subject = h.detail ->> 'proposal' and p.answer in ('done', 'spooled') and p.seq < h.seq))
           ) as stated
      from faults.quarantined q where q.agent = h.detail ->> 'agent'
       and q.kind = 'proposal_metrics' and q.body::jsonb #>> '{metrics,mark}' = h.detail ->> 'mark') aside
 where h.kind = 'call' and h.op = 'metrics'
   and (s.n > 1 or aside.n > 1 or (h.answer = 'done' and s.n <> 1) or (h.answer = 'spooled' and s.n + aside.stated <> 1))
union all
select a.proposal_id, format('%s published %s samples of it, and the Guardian has %s', a.instance_id, a.n, g.n)
  from (select m.proposal_id, m.instance_id, count(*) as n from singularity.sample m where m.message_id is not null group by 1, 2) a
  cross join lateral (select count(*) as n from centralcloud.sample s where s.proposal_id = a.proposal_id and s.instance_id = a.instance_id) g
 where g.n <> a.n
