-- A daemon's memory and descriptors stay bounded over the whole run, and do not go on growing (8).
select h.who, format('%s descriptors, %s KiB', max((h.detail ->> 'descriptors')::int), max((h.detail ->> 'rss_kib')::bigint))
  from faults.history h where h.kind = 'resource' group by h.who
having max((h.detail ->> 'descriptors')::int) > 60 or max((h.detail ->> 'rss_kib')::bigint) > 80 * 1024
union all
select q.who, format('from the second to the last quarter of the run: %s to %s descriptors, %s to %s KiB', round(q.descriptors_then), round(q.descriptors_now),
                     round(q.rss_then), round(q.rss_now))
  from (select t.who, avg(t.descriptors) filter (where t.quarter = 2) as descriptors_then, avg(t.descriptors) filter (where t.quarter = 4) as descriptors_now,
               avg(t.rss) filter (where t.quarter = 2) as rss_then, avg(t.rss) filter (where t.quarter = 4) as rss_now
          from (select h.who, (h.detail ->> 'descriptors')::int as descriptors, (h.detail ->> 'rss_kib')::bigint as rss,
                       ntile(4) over (partition by h.who order by h.seq) as quarter
                  from faults.history h where h.kind = 'resource') t
         group by t.who having count(*) > 600) q  -- seconds; a shorter run shows no trend
 where q.descriptors_now > q.descriptors_then + 10 or q.rss_now > q.rss_then + 24 * 1024
