-- Every acknowledged vote is recorded once (1; 2: once an instance).
select h.subject, format('agent-2 voted, answered "%s", and there is no vote of it', h.answer)
  from faults.history h
 where h.kind = 'call' and h.op = 'vote' and h.answer = 'done'
   and not exists (select from centralcloud.vote v where v.proposal_id = h.subject and v.instance_id = 'agent-2')
union all
select v.proposal_id, format('%s was sent %s times', v.instance_id, count(*))
  from centralcloud.vote v group by v.proposal_id, v.instance_id having count(*) > 1
