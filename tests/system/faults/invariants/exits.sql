-- A daemon ends when it is told to, with the code it should, and never by itself (10).
select h.who, format('%s: exit code %s, expected %s', h.op, h.detail ->> 'actual', coalesce(h.detail ->> 'expected', '0'))
  from faults.history h where h.kind = 'exit' and h.answer <> 'expected'
