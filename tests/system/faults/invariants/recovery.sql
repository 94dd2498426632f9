-- Within half a minute of a fault's end all are ready and what waited then is handled, retries too; at the end everything comes to rest (8).
select coalesce(nullif(h.who, ''), h.op), format('after %s: %s, after %s s', h.op, h.detail ->> 'lacking', coalesce(h.detail ->> 'ready_seconds', h.detail ->> 'seconds'))
  from faults.history h where h.kind = 'recovery' and h.answer <> 'done'
union all
select b.op, 'begun, and neither ended nor recovered from' from faults.history b
 where b.kind = 'fault' and b.answer = 'begun'
   and not exists (select from faults.history r where r.kind = 'recovery' and r.op = b.op and r.seq > b.seq)
