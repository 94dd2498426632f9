-- A decision follows from the votes that were counted, and no vote is counted after it (2).
with tally as (
  select d.proposal_id, d.status, d.rule, d.decided_at, p.deadline,
         count(v) as votes, count(v) filter (where v.vote = 'approve') as approvals, avg(v.confidence) as mean,
         bool_or(v.vote = 'reject' and v.confidence > 0.9) as strong,
         bool_or(v.received_at > d.decided_at) as late,
         jsonb_array_length(d.vote_details) as told
    from centralcloud.decision d join centralcloud.proposal p using (proposal_id)
    left join centralcloud.vote v on v.proposal_id = d.proposal_id and v.counted
   group by d.proposal_id, p.proposal_id)
select t.proposal_id, format('%s by rule %s at %s: %s votes (%s told), %s approve, mean %s', t.status, t.rule, t.decided_at,
                             t.votes, t.told, t.approvals, t.mean::numeric(7, 6))
  from tally t
 where t.late or t.told <> t.votes
    or not coalesce(case t.rule
         when 'consensus' then t.status = 'approved' and t.votes >= 2 and 3 * t.approvals >= 2 * t.votes and t.mean >= 0.85
         when 'strong_rejection' then t.status = 'rejected' and t.strong
         when 'majority_reject' then t.status = 'rejected' and 2 * t.approvals < t.votes and t.mean >= 0.85
         when 'no_consensus' then t.status = 'rejected'
         when 'timeout' then t.status = 'rejected' and t.decided_at >= t.deadline
         else false end, false)
