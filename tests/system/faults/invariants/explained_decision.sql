-- A decision follows from the votes that were counted, by the first rule that fits; only the electorate's are counted, and none after it (2).
with tally as (
  select d.proposal_id, d.status, d.rule, d.decided_at, p.deadline, (select count(*) from centralcloud.electorate e where e.proposal_id = d.proposal_id) as voters,
         count(v) as votes, count(v) filter (where v.vote = 'approve') as approvals, avg(v.confidence) as mean,
         coalesce(bool_or(v.vote = 'reject' and v.confidence > 0.9), false) as strong,
         coalesce(bool_or(v.received_at > d.decided_at), false) as late,
         count(v) filter (where not exists (select from centralcloud.electorate e where e.proposal_id = v.proposal_id and e.instance_id = v.instance_id)) as strangers,
         jsonb_array_length(d.vote_details) as told
    from centralcloud.decision d join centralcloud.proposal p using (proposal_id)
    left join centralcloud.vote v on v.proposal_id = d.proposal_id and v.counted
   group by d.proposal_id, p.proposal_id),
judged as (  -- 2: consensus.min_votes of this fleet
  select t.*, coalesce(t.votes >= 2 and 3 * t.approvals >= 2 * t.votes and t.mean >= 0.85, false) as consent,
         coalesce(t.votes >= 2 and 2 * t.approvals < t.votes and t.mean >= 0.85, false) as dissent from tally t)
select t.proposal_id, format('%s by rule %s at %s: %s votes of %s voters (%s told, %s of strangers), %s approve, mean %s%s', t.status, t.rule, t.decided_at,
                             t.votes, t.voters, t.told, t.strangers, t.approvals, t.mean::numeric(7, 6), case when t.strong then ', a strong reject' else '' end)
  from judged t
 where t.late or t.told <> t.votes or t.strangers > 0
    or t.status is distinct from case t.rule when 'consensus' then 'approved' else 'rejected' end
    or not coalesce(case t.rule
         when 'strong_rejection' then t.strong
         when 'consensus' then t.consent and not t.strong
         when 'majority_reject' then t.dissent and not t.consent and not t.strong
         when 'no_consensus' then t.votes >= 2 and t.votes = t.voters and not t.dissent and not t.consent and not t.strong
         when 'timeout' then t.decided_at >= t.deadline and not t.dissent and not t.consent and not t.strong
         else false end, false)
