-- An acknowledged vote is the one vote of its instance, at the agent and at the coordinators. One that had to wait in the spool may have been
-- set aside: because the vote was over by then, or because the instance had voted otherwise (1; 2: once an instance; 7).
select h.subject, format('%s: agent-2 was asked to %s and answered "%s"; its vote is %s, set aside: %s', h.op, h.detail ->> 'vote', h.answer,
                         coalesce(r.vote, 'nothing'), coalesce(q.reasons, 'no'))
  from faults.history h
  left join singularity.vote_request r on r.proposal_id = h.subject and r.instance_id = 'agent-2'
  cross join lateral (
    select string_agg(q.reason, '; ') as reasons,
           bool_or(case when q.reason like 'the vote on % is over' then r.answered_at is null and r.deadline < clock_timestamp()
                        when q.reason like 'this instance has voted otherwise on %' then r.vote <> h.detail ->> 'vote' end) as stated
      from faults.quarantined q
     where q.agent = 'agent-2' and q.kind = 'vote' and q.body::jsonb ->> 'proposal_id' = h.subject and q.body::jsonb ->> 'vote' = h.detail ->> 'vote') q
 where h.kind = 'call' and h.op in ('vote', 'vote_again', 'vote_otherwise') and h.answer in ('done', 'spooled')
   and r.vote is distinct from h.detail ->> 'vote' and not (h.answer = 'spooled' and coalesce(q.stated, false))
union all
select r.proposal_id, format('%s voted %s with %s, and the coordinators have %s', r.instance_id, r.vote, r.confidence,
                             coalesce(v.vote || ' with ' || v.confidence, 'nothing'))
  from singularity.vote_request r left join centralcloud.vote v using (proposal_id, instance_id)
 where r.message_id is not null and (v.vote, v.confidence) is distinct from (r.vote, r.confidence::numeric(7, 6))
   -- The forger's vote in its name may have been the first one.
   and not (coalesce(v.reason = 'too late', false) and exists (
         select from centralcloud.audit_log a where a.action = 'second_vote_refused' and a.proposal_id = r.proposal_id and a.actor = r.instance_id))
