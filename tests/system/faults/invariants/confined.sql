-- An instance's role publishes as itself, reads its own, and triggers, decides and votes for nobody else (11).
select h.subject, format('agent-1''s role could: %s times', count(*))
  from faults.history h where h.kind = 'call' and h.op = 'intrusion' and h.answer = 'done' group by h.subject
union all
select h.subject, format('failed for another reason than that it may not, so it shows nothing: %s', max(h.detail ->> 'error'))
  from faults.history h where h.kind = 'call' and h.op in ('intrusion', 'own_right') and h.answer = 'wrong' group by h.subject
union all
select c.op, format('agent-1''s role was answered %s times', c.n)
  from (select o.op, (select count(*) from faults.history h where h.op = o.op and h.answer in ('refused', 'nothing', 'done')) as n
          from unnest('{intrusion,own_right}'::text[]) o(op)) c where c.n = 0
union all
select h.subject, 'agent-1''s role was refused what it may do' from faults.history h where h.op = 'own_right' and h.answer in ('refused', 'nothing')
union all
select t.name, 'something of the intruder is there' from (
  select 'vote ' || v.proposal_id from centralcloud.vote v where v.reason in ('intruder', 'x')
  union all select 'proposal ' || p.proposal_id from centralcloud.proposal p where p.proposal_id = 'intruder'
  union all select 'pattern ' || p.pattern_id from centralcloud.pattern p where p.pattern_type = 'intruder') t(name)
