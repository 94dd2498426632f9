-- What the agent says of a change is what its repository's history says (3, 4).
select p.proposal_id, format('%s at %s; commits: %s apply, %s revert', p.status, p.instance_id, c.applies, c.reverts)
  from singularity.proposal p
  cross join lateral (select count(*) filter (where c.kind = 'apply') as applies, count(*) filter (where c.kind = 'revert') as reverts
                        from faults.git_commit c where c.proposal_id = p.proposal_id) c
 where not case p.status
   when 'applied' then c.applies = 1 and c.reverts = 0
   when 'rolled_back' then c.applies = c.reverts  -- 0: cancelled before it began
   when 'failed' then c.applies = c.reverts
   when 'rollback_failed' then true  -- visible, and an invariant of its own
   else c.applies = 0 end
