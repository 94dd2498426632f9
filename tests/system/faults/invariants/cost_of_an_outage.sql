-- Without its database a daemon costs less than 5 % of a core on average, logs little, and keeps its memory and descriptors (8).
with per_daemon as (
  select h.who, avg((h.detail ->> 'cpu_percent')::float8) as cpu, avg((h.detail ->> 'log_bytes_per_second')::float8) as log_rate,
         max((h.detail ->> 'descriptors')::int) as descriptors, max((h.detail ->> 'rss_kib')::bigint) as rss
    from faults.history h where h.kind = 'resource' and h.op = 'outage' group by h.who),
usual as (
  select h.who, max((h.detail ->> 'descriptors')::int) as descriptors, max((h.detail ->> 'rss_kib')::bigint) as rss
    from faults.history h where h.kind = 'resource' and h.op in ('idle', 'load') group by h.who)
select o.who, format('CPU %s %%, log %s bytes/s, %s descriptors (usual %s), %s KiB (usual %s)', round(o.cpu::numeric, 1),
                     round(o.log_rate::numeric), o.descriptors, u.descriptors, o.rss, u.rss)
  from per_daemon o left join usual u using (who)
 where not coalesce(o.cpu <= 5 and o.log_rate <= 1500 and o.descriptors <= u.descriptors + 20 and o.rss <= u.rss + 65536, false)
union all
-- What nobody looked at costs nothing.
select d.who, format('no sample of it in the outage that began at %s', to_timestamp(b.at))
  from faults.history b cross join unnest('{coordinator-0,coordinator-1,agent-0,agent-1,agent-2}'::text[]) d(who)
 where b.kind = 'fault' and b.op = 'quiet_outage' and b.answer = 'begun'
   and not exists (select from faults.history r where r.kind = 'resource' and r.op = 'outage' and r.who = d.who and r.seq > b.seq
                      and r.seq < (select min(e.seq) from faults.history e where e.kind = 'recovery' and e.seq > b.seq))
