-- What one publisher committed, one batch after the other and one message after the other in it, is taken in that order (5).
select format('batch-%s', t.place[1]), format('%s took its message %s after message %s of batch %s', t.consumer_group, t.place[2], t.before[2], t.before[1])
  from (select t.consumer_group, p.place, max(p.place) over (partition by t.consumer_group order by t.id
                                                             rows between unbounded preceding and 1 preceding) as before
          from faults.taken t
          cross join lateral (select array[(t.payload ->> 'batch')::bigint, (t.payload ->> 'k')::bigint] as place) p
          -- One whose outcome the publisher does not know may commit after its next one.
          join faults.history h on h.op = 'publish' and h.subject = 'batch-' || (t.payload ->> 'batch') and h.answer = 'done') t
 where t.place < t.before
