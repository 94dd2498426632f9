-- Every acknowledged vote is recorded once (1; 2: once an instance), or, where it had to wait in the spool, set aside with its reason (7).
select h.subject, format('agent-2 voted, answered "%s", and there is no vote of it', h.answer)
  from faults.history h
 where h.kind = 'call' and h.op = 'vote' and h.answer in ('done', 'spooled')
   and not exists (select from centralcloud.vote v where v.proposal_id = h.subject and v.instance_id = 'agent-2')
   and not (h.answer = 'spooled' and exists (
         select from faults.quarantined q where q.agent = 'agent-2' and q.kind = 'vote' and q.body::jsonb ->> 'proposal_id' = h.subject))
union all
select v.proposal_id, format('%s was sent %s times', v.instance_id, count(*))
  from centralcloud.vote v group by v.proposal_id, v.instance_id having count(*) > 1
