-- Of what an agent tells of itself the last acknowledged stands, unless a later call without an answer came through (1, 7).
select h.agent, format('acknowledged up to %s, and %s stands', h.acknowledged, coalesce(m.mark::text, 'nothing'))
  from (select t.detail ->> 'agent' as agent, max((t.detail ->> 'mark')::bigint) filter (where t.answer in ('done', 'spooled')) as acknowledged
          from faults.history t where t.kind = 'call' and t.op = 'agent_metrics' group by 1) h
  left join (select a.instance_id, (a.metrics ->> 'mark')::numeric::bigint as mark
               from singularity.agent_metrics a where a.agent_type = 'LoadAgent') m on m.instance_id = h.agent
 where h.acknowledged is not null and m.mark is distinct from h.acknowledged
   and not exists (select from faults.history u where u.kind = 'call' and u.op = 'agent_metrics' and u.answer = 'ambiguous'
                      and u.detail ->> 'agent' = h.agent and (u.detail ->> 'mark')::bigint = m.mark and m.mark > h.acknowledged)
