-- Within a minute of a fault's end all are ready and what waited then is handled; at the end everything comes to rest (8).
select coalesce(nullif(h.who, ''), h.op), format('after %s: %s, after %s s', h.op, h.detail ->> 'lacking', coalesce(h.detail ->> 'ready_seconds', h.detail ->> 'seconds'))
  from faults.history h where h.kind = 'recovery' and h.answer <> 'done'
