-- Every decision, trigger, confirmation and operator's rollback has an audit entry, every change of state a step (12).
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
   and not exists (select from centralcloud.audit_log a where a.proposal_id = h.subject and a.action = 'rollback_trigger' and a.actor <> 'centralcloud')
union all
select c.proposal_id, 'no step says ' || c.state from centralcloud.change c
 where not exists (select from centralcloud.step s where s.proposal_id = c.proposal_id and s.state = c.state)
