-- While nothing is broken a vote takes far less than the polls would: each of its three hops is woken (design 03, waking).
with broken as materialized (  -- from a fault's beginning to its recovery
  select b.at as since, coalesce((select min(r.at) from faults.history r where r.kind = 'recovery' and r.seq > b.seq), 'infinity') as until
    from faults.history b where b.kind = 'fault' and b.answer = 'begun' and b.op <> 'calm'),
vote as materialized (
  select d.proposal_id, s.at as sent_at, d.decided_at, extract(epoch from d.decided_at - s.at) as seconds
    from centralcloud.decision d join singularity.proposal_step s on s.proposal_id = d.proposal_id and s.to_state = 'sent_for_consensus'
    -- From the handing in: a hundred at once (a fault) are sent one after the other, and wait for each other.
    join singularity.proposal p on p.proposal_id = d.proposal_id
   where not exists (select from broken b where extract(epoch from p.submitted_at) < b.until and extract(epoch from d.decided_at) > b.since))
select 'votes', format('%s votes while nothing was broken took %s s (median), at most 0.7 expected', count(*),
                       percentile_cont(0.5) within group (order by seconds))
  from vote having count(*) >= 5 and percentile_cont(0.5) within group (order by seconds) > 0.7
