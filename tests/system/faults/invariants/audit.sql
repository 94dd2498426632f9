-- Every decision, trigger, confirmation and rollback by a person has an audit entry, every change of state a step, and every step of an instance and
-- every dead letter that a person settled its entry, once (12).
select d.proposal_id, 'decided without an audit entry' from centralcloud.decision d
 where not exists (select from centralcloud.audit_log a where a.proposal_id = d.proposal_id and a.action = 'decision')
union all
select r.proposal_id, 'triggered without an audit entry' from centralcloud.rollback r
 where not exists (select from centralcloud.audit_log a where a.proposal_id = r.proposal_id and a.action = 'rollback_trigger'
                                                          and a.actor = r.actor)
union all
select c.proposal_id, 'confirmed without an audit entry' from centralcloud.change c
 where c.state = 'confirmed' and not exists (select from centralcloud.audit_log a where a.proposal_id = c.proposal_id and a.action = 'confirmed')
union all
select h.subject, 'an operator rolled it back, and no audit entry says so' from faults.history h
 where h.kind = 'call' and h.op = 'operator_rollback' and h.answer = 'done'
   and not exists (select from centralcloud.audit_log a where a.proposal_id = h.subject and a.action in ('rollback_trigger', 'rollback_repeated')
                                                          and a.actor <> 'centralcloud')
union all
select c.proposal_id, 'no step says ' || c.state from centralcloud.change c
 where not exists (select from centralcloud.step s where s.proposal_id = c.proposal_id and s.state = c.state)
union all
select coalesce(s.proposal_id, a.proposal_id), format('steps to %s: %s taken, %s audited', coalesce(s.to_state, a.to_state), coalesce(s.n, 0), coalesce(a.n, 0))
  from (select t.proposal_id, t.to_state, count(*) as n from singularity.proposal_step t group by 1, 2) s
  full join (select l.proposal_id, l.detail ->> 'to' as to_state, count(*) as n
               from centralcloud.audit_log l where l.action = 'agent_step' group by 1, 2) a using (proposal_id, to_state)
 where s.n is distinct from a.n
union all
select coalesce(o.action, a.action), format('%s messages by hand, %s audited', coalesce(o.n, 0), coalesce(a.n, 0))
  from (select 'dlq_' || t.action as action, count(*) as n from quantumflow.operator_action t group by 1) o
  full join (select l.action, sum((l.detail ->> 'messages')::bigint)::bigint as n
               from centralcloud.audit_log l where l.action in ('dlq_retry', 'dlq_purge') group by 1) a using (action)
 where o.n is distinct from a.n
