-- Every acknowledged sample reaches the Guardian once, or was set aside with its reason (1, 7).
select h.subject, format('for %s, answered "%s" by %s: recorded %s times, set aside: %s', h.detail ->> 'proposal', h.answer,
                         h.detail ->> 'agent', s.n, aside.n)
  from faults.history h
  cross join lateral (select count(*) as n from centralcloud.sample s
                       where s.proposal_id = h.detail ->> 'proposal' and s.metrics_after ->> 'mark' = h.detail ->> 'mark') s
  cross join lateral (select count(*) as n from faults.quarantined q where q.agent = h.detail ->> 'agent'
                        and q.kind = 'proposal_metrics' and q.body::jsonb #>> '{metrics,mark}' = h.detail ->> 'mark') aside
 where h.kind = 'call' and h.op = 'metrics'
   and (s.n > 1 or aside.n > 1 or (h.answer = 'done' and s.n <> 1) or (h.answer = 'spooled' and s.n + aside.n <> 1))
