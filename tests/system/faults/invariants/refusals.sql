-- The same proposal handed in again is never refused, and what was refused did not happen (1: conservation).
select h.subject, format('%s was refused: %s', h.op, h.detail ->> 'body')
  from faults.history h
 where h.kind = 'call' and h.op in ('propose', 'propose_again') and h.answer = 'refused'
