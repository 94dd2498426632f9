-- Every acknowledged pattern report is counted once; one without an answer at most once (1, 7: neither lost nor twice).
select h.subject, format('reported by %s and answered "%s": counted %s times', h.detail ->> 'agent', h.answer, coalesce(s.reports, 0))
  from faults.history h
  left join (select p.pattern_type, s.instance_id, sum(s.reports) as reports
               from centralcloud.pattern p join centralcloud.pattern_source s using (pattern_id) group by 1, 2) s
    on s.pattern_type = h.subject and s.instance_id = h.detail ->> 'agent'
 where h.kind = 'call' and h.op in ('pattern', 'shared_pattern')
   and (coalesce(s.reports, 0) > 1 or (h.answer in ('done', 'spooled') and s.reports is null)
        or (h.answer in ('refused', 'unavailable', 'unsent') and s.reports is not null))
   and not exists (select from faults.history f join faults.quarantined q on q.agent = f.who and q.reason like '%checksum%'
                    where f.op = 'flipped' and position(format('"%s"', h.subject) in f.detail ->> 'body') > 0
                      and position(format('"%s"', h.subject) in q.body) > 0)
