-- A proposal's samples go out and are handled in the order in which they were taken (5).
select s.proposal_id, format('sample %s of %s was handled after one of %s', s.sample_id, s.reported_at, s.before)
  from (select t.*, max(t.reported_at) over (partition by t.proposal_id order by t.sample_id
                                             rows between unbounded preceding and 1 preceding) as before
          from centralcloud.sample t) s
 where s.reported_at < s.before
union all
select s.proposal_id, format('sample %s of %s went out after a later one', s.sample_id, s.instance_id)
  from (select t.*, max(t.message_id) over (partition by t.proposal_id order by t.sample_id
                                            rows between unbounded preceding and 1 preceding) as before
          from singularity.sample t where t.message_id is not null) s
 where s.message_id < s.before
