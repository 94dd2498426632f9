-- A triggered rollback ends, both sides say the same, and one that could not be done is told about (4).
select r.proposal_id, format('the coordinator says %s, the agent %s (%s)', r.outcome, coalesce(a.state, 'nothing'), p.status)
  from centralcloud.rollback r left join singularity.rollback a using (proposal_id) left join singularity.proposal p using (proposal_id)
 where r.outcome = 'pending' or (r.outcome = 'rolled_back') <> coalesce(p.status = 'rolled_back', false)
union all
select a.proposal_id, format('rolled back by the agent (%s), never triggered', a.reason)
  from singularity.rollback a left join centralcloud.rollback r using (proposal_id) where r.proposal_id is null
union all
select p.proposal_id, 'rollback_failed: ' || coalesce(p.failure, '') from singularity.proposal p where p.status = 'rollback_failed'
