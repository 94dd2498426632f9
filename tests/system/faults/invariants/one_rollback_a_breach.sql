-- A breach while a change is watched leads to one rollback; without one or an operator there is none (4).
with breach as (
  select s.proposal_id, min(s.received_at) as at from centralcloud.sample s
   where s.status in ('executing', 'applied', 'monitoring')
     and ((s.metrics_after ->> 'error_rate')::numeric > 0.1 or (s.metrics_after ->> 'success_rate')::numeric < 0.9)
   group by s.proposal_id)
select c.proposal_id, format('breached at %s, and is %s without a rollback', b.at, c.state)
  from centralcloud.change c join breach b using (proposal_id) left join centralcloud.rollback r using (proposal_id)
 where r.proposal_id is null and c.state <> 'failed' and (c.ended_at is null or b.at < c.ended_at)
union all
select r.proposal_id, format('rolled back for %s by %s, and no sample says so', r.reason, r.actor)
  from centralcloud.rollback r left join breach b using (proposal_id) where b.proposal_id is null and r.reason <> 'operator'
union all
select r.proposal_id, format('triggered %s times', count(*))
  from centralcloud.audit_log r where r.action = 'rollback_trigger' group by r.proposal_id having count(*) > 1
union all
select c.proposal_id, 'a harmful change stayed: ' || p.status
  from faults.git_commit c join singularity.proposal p using (proposal_id)
 where c.kind = 'apply' and c.proposal_id like 'harmful%' and p.status not in ('rolled_back', 'rollback_failed')
