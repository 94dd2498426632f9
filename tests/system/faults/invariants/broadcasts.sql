-- A voting request and a confirmed pattern reach every instance (6).
select p.proposal_id, 'the vote was opened, and no request came to ' || i.instance_id
  from centralcloud.proposal p cross join centralcloud.instance i
  left join singularity.vote_request v on v.proposal_id = p.proposal_id and v.instance_id = i.instance_id
 where p.deadline is not null and v.proposal_id is null
union all
select p.pattern_type, 'confirmed, and unknown to ' || i.instance_id
  from centralcloud.pattern p cross join centralcloud.instance i
  left join singularity.pattern k on k.pattern_id = p.pattern_id and k.instance_id = i.instance_id
 where p.state <> 'observed' and k.pattern_id is null
union all
select a.detail ->> 'pattern_id', 'confirmed more than once'
  from centralcloud.audit_log a where a.action = 'pattern_confirmed' group by 1 having count(*) > 1
