-- What was published is taken once by each group; what may have been published, at most once and as a whole (1).
with batch as (
  select h.subject, h.answer, (h.detail ->> 'n')::bigint as n, (h.detail ->> 'count')::bigint as messages, g.consumer_group
    from faults.history h cross join (values ('taker-a'), ('taker-b')) g(consumer_group)
   where h.kind = 'call' and h.op = 'publish')
select b.subject, format('%s messages, answered "%s": %s took %s, of them %s different', b.messages, b.answer,
                         b.consumer_group, t.taken, t.different)
  from batch b
  cross join lateral (select count(*) as taken, count(distinct t.payload ->> 'k') as different from faults.taken t
                       where t.consumer_group = b.consumer_group and (t.payload ->> 'batch')::bigint = b.n) t
 where t.taken <> t.different
    or t.taken <> case b.answer when 'done' then b.messages when 'unsent' then 0
                                else case when t.taken = 0 then 0 else b.messages end end
