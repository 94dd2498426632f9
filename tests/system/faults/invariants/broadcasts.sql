-- A voting request, a confirmed pattern and a learned safety profile reach every instance (6).
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
union all
select s.agent_type, format('the coordinators hold %s of it, and %s %s', s.profile, i.instance_id, coalesce(k.profile::text, 'nothing'))
  from centralcloud.safety_profile s cross join centralcloud.instance i
  left join singularity.safety_profile k on k.agent_type = s.agent_type and k.instance_id = i.instance_id
 where s.instance_id = '' and k.profile is distinct from s.profile
