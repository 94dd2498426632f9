-- Nothing is executed without an approving decision, nothing twice; the history holds a change once (3).
select c.proposal_id, format('%s: %s %s commits', c.agent, count(*), c.kind)
  from faults.git_commit c group by c.proposal_id, c.agent, c.kind having count(*) > 1
union all
select c.proposal_id, format('in the repository of %s, and %s', c.agent, coalesce('its decision is ' || d.status, 'not decided'))
  from faults.git_commit c left join centralcloud.decision d using (proposal_id)
 where c.kind = 'apply' and d.status is distinct from 'approved'
union all
select c.proposal_id, format('carried out by %s, proposed by %s', c.agent, p.instance_id)
  from faults.git_commit c join singularity.proposal p using (proposal_id) where c.agent <> p.instance_id
union all
select a.proposal_id, 'audited as executed without approval' from centralcloud.audit_log a where a.action = 'executed_without_approval'
