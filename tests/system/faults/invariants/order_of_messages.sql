-- What one publisher committed one after the other is taken in that order (5).
select format('batch-%s', t.n), format('%s took it after batch %s', t.consumer_group, t.before)
  from (select t.consumer_group, (t.payload ->> 'batch')::bigint as n,
               max((t.payload ->> 'batch')::bigint) over (partition by t.consumer_group order by t.id
                                                          rows between unbounded preceding and 1 preceding) as before
          from faults.taken t
          -- One whose outcome the publisher does not know may commit after its next one.
          join faults.history h on h.op = 'publish' and h.subject = 'batch-' || (t.payload ->> 'batch') and h.answer = 'done') t
 where t.n < t.before
