-- For each reader of a queue: published = pending + retrying + dead + consumed + purged; and at the end nothing waits (1, 8).
select q.queue_name, format('published %s (for %s readers), pending %s, retrying %s, dead %s, consumed %s, purged %s',
                            q.published_total, q.readers, q.pending, q.retrying, q.dlq, q.consumed_total, q.purged_total)
  from quantumflow.list_queues() q
 where q.audience in ('lanes', 'broadcast', 'directed') and q.readers > 0
   and q.published_total * case q.audience when 'directed' then 1 else q.readers end
       <> q.pending + q.retrying + q.dlq + q.consumed_total + q.purged_total
union all
select q.queue_name, format('%s pending and %s retrying at the end', q.pending, q.retrying)
  from quantumflow.list_queues() q where q.pending + q.retrying > 0 and q.readers > 0
