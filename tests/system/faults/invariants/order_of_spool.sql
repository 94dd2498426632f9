-- What one caller handed in one after the other came into the database in that order, spooled or not (7).
select h.subject, format('%s handed it in after %s, which was submitted later', h.who, h.earlier)
  from (select c.*, p.submitted_at,
               max(p.submitted_at) over before as latest, last_value(c.subject) over before as earlier
          from faults.history c join singularity.proposal p on p.proposal_id = c.subject
         where c.kind = 'call' and c.op = 'propose' and c.answer in ('done', 'spooled')
        window before as (partition by c.who order by c.seq rows between unbounded preceding and 1 preceding)) h
 where h.submitted_at < h.latest
