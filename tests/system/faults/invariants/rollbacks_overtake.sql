-- While every other queue is flooded, a rollback's trigger comes to its instance within seconds of the breach (9).
with flood as (
  select b.at as since,
         coalesce((select min(e.at) from faults.history e where e.kind = 'fault' and e.op = 'flood' and e.answer = 'ended' and e.seq > b.seq), 'infinity') as until,
         (select (n.detail ->> 'published')::int from faults.history n where n.op = 'flooded' and n.seq > b.seq order by n.seq limit 1) as published
    from faults.history b where b.kind = 'fault' and b.op = 'flood' and b.answer = 'begun'),
breach as (
  select s.proposal_id, f.since, extract(epoch from r.requested_at - min(s.taken_at)) as seconds
    from singularity.sample s join flood f on extract(epoch from s.taken_at) between f.since and f.until
    left join singularity.rollback r using (proposal_id)
   where s.proposal_id like 'harmful-flood-%' and s.status in ('executing', 'applied', 'monitoring')
     and (s.metrics_after ->> 'error_rate')::numeric > 0.1
   group by s.proposal_id, f.since, r.requested_at)
select b.proposal_id, format('its trigger came %s s after its breach', coalesce(round(b.seconds, 1)::text, 'not even long'))
  from breach b where b.seconds is null or b.seconds > 5
union all
select 'flood', format('%s messages, and %s of 3 changes breached meanwhile', f.published,
                       (select count(*) from breach b where b.since = f.since))
  from flood f where coalesce(f.published, 0) < 1000 or not exists (select from breach b where b.since = f.since)
