-- For each reader of a queue: published = pending + retrying + dead + consumed + purged; at the end nothing waits, and what is counted is there (1, 8).
select q.queue_name, format('published %s (for %s readers), pending %s, retrying %s, dead %s, consumed %s, purged %s',
                            q.published_total, q.readers, q.pending, q.retrying, q.dlq, q.consumed_total, q.purged_total)
  from quantumflow.list_queues() q
 where q.audience in ('lanes', 'broadcast', 'directed') and q.readers > 0
   and q.published_total * case q.audience when 'directed' then 1 else q.readers end
       <> q.pending + q.retrying + q.dlq + q.consumed_total + q.purged_total
union all
select q.queue_name, format('%s pending and %s retrying at the end', q.pending, q.retrying)
  from quantumflow.list_queues() q where (q.pending <> 0 or q.retrying <> 0) and q.readers > 0
union all
select f.queue_name, format('%s has %s to read by the counters, and %s are there', f.consumer_group, f.pending, u.n)
  from quantumflow.reader_figures(null) f cross join lateral (
    select count(*) as n from quantumflow.unread u where u.cursor_id = f.cursor_id) u
 where f.cursor_id is not null and f.pending <> u.n
