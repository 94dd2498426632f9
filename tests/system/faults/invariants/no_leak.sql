-- A daemon's memory and descriptors stay bounded over the whole run (8).
select h.who, format('%s descriptors, %s KiB', max((h.detail ->> 'descriptors')::int), max((h.detail ->> 'rss_kib')::bigint))
  from faults.history h where h.kind = 'resource' group by h.who
having max((h.detail ->> 'descriptors')::int) > 200 or max((h.detail ->> 'rss_kib')::bigint) > 200 * 1024
