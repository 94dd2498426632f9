-- Every acknowledged proposal exists, once, at the instance that took it (1: conservation; 7: the spool).
select h.subject, format('answered "%s" by %s, and %s', h.answer, h.detail ->> 'agent',
         case when p.proposal_id is null then 'lost' else 'it belongs to ' || p.instance_id end)
  from faults.history h left join singularity.proposal p on p.proposal_id = h.subject
 where h.kind = 'call' and h.op in ('propose', 'propose_again') and h.answer in ('done', 'spooled')
   and p.instance_id is distinct from h.detail ->> 'agent'
   -- The byte that the suite flipped in a spool is that entry's loss, and it must have been set aside.
   and not exists (select from faults.history f join faults.quarantined q on q.agent = f.who and q.reason like '%checksum%'
                    where f.op = 'flipped' and position(format('"%s"', h.subject) in f.detail ->> 'body') > 0
                      and position(format('"%s"', h.subject) in q.body) > 0)
