-- A repository holds what its first commit and its applied changes wrote, nothing of what was taken back or refused, and nothing else; each later
-- commit says whose it is (3, 4).
with wanted as (
  select p.instance_id as agent, f.key as path, f.value as content, p.proposal_id, p.status, p.status = 'applied' as there
    from singularity.proposal p cross join lateral jsonb_each_text(p.code_change -> 'files') f
  union all
  select f.agent, f.path, f.content, null, 'in the first commit', true from faults.first_file f)
select coalesce(w.proposal_id, f.path), format('%s of %s: %s', f.path, f.agent,
         case when w.path is null then 'no proposal wrote it' when not w.there then 'there, although the change is ' || w.status
              else 'has other content' end)
  from faults.file f left join wanted w using (agent, path) where w.path is null or not w.there or w.content <> f.content
union all
select coalesce(w.proposal_id, w.path), format('%s of %s is missing, although it is %s', w.path, w.agent, w.status)
  from wanted w left join faults.file f using (agent, path) where w.there and f.path is null
union all
select r.agent, format('the work tree is not clean: %s', r.dirty) from faults.repository r where r.dirty <> ''
union all
select r.agent, format('%s commits besides the first name no proposal', r.unmarked - 1) from faults.repository r where r.unmarked <> 1
