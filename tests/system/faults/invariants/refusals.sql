-- A call is refused only for a reason that is stated here and true: metrics of a change that is not under way, a vote that is over or was
-- given otherwise, a rollback of what cannot be taken back, a dead letter that an earlier call settled. Nothing else is ever refused (1).
select h.subject, format('%s of %s was refused with %s: %s', h.op, h.who, h.detail ->> 'status', h.detail ->> 'body')
  from faults.history h
  cross join lateral (select h.detail ->> 'status' as status, coalesce(h.detail ->> 'body', '') as body) r
 where h.kind = 'call' and h.answer = 'refused' and h.op <> 'intrusion'  -- which `confined` is about
   and not coalesce(case
     when h.op = 'metrics' and r.status = '409' then exists (
       select from singularity.proposal_step s where s.proposal_id = h.detail ->> 'proposal' and s.to_state not in ('executing', 'applied')
         and position(format('is %s: no metrics of it are expected', s.to_state) in r.body) > 0)
     -- Where it was acknowledged and is lost, that is for `acknowledged_proposals` to say (a byte that the suite flips takes one).
     when h.op = 'metrics' and r.status = '404' then position('there is no proposal' in r.body) > 0 and not exists (
       select from faults.history p join singularity.proposal t on t.proposal_id = p.subject
        where p.op in ('propose', 'propose_again') and p.subject = h.detail ->> 'proposal' and p.answer in ('done', 'spooled') and p.seq < h.seq)
     when h.op in ('vote', 'vote_again', 'vote_otherwise') and r.status = '409' then exists (
       select from singularity.vote_request v where v.proposal_id = h.subject and v.instance_id = 'agent-2'
         and case when position(' is over' in r.body) > 0 then v.answered_at is null and extract(epoch from v.deadline) < h.at
                  when position('has voted otherwise' in r.body) > 0 then v.vote <> h.detail ->> 'vote' end)
     when h.op = 'operator_rollback' and r.status = '404' then not exists (
       -- A report's row is there only once its transaction has ended.
       select from centralcloud.change c where c.proposal_id = h.subject and extract(epoch from c.started_at) < h.began - 10)
     when h.op = 'operator_rollback' and r.status = '409' then exists (
       select from centralcloud.step s where s.proposal_id = h.subject and s.state in ('rollback_triggered', 'rolled_back', 'rollback_failed', 'failed')
         and position(format('is in state %s:', s.state) in r.body) > 0)
     when h.op = 'dlq_retry' and r.status = '404' then exists (
       select from faults.history e where e.op = 'dlq_retry' and e.subject = h.subject and e.seq < h.seq and e.answer not in ('refused', 'unsent'))
     end, false)
