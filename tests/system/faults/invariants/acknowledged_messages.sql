-- What was published is taken once by each group; what may have been published, at most once and as a whole (1).
with batch as (
  select h.subject, h.answer, (h.detail ->> 'n')::bigint as n, (h.detail ->> 'count')::bigint as messages, g.consumer_group
    from faults.history h cross join (values ('taker-a'), ('taker-b')) g(consumer_group)
   where h.kind = 'call' and h.op = 'publish'),
took as (
  select t.consumer_group, (t.payload ->> 'batch')::bigint as n, count(*) as taken, count(distinct t.payload ->> 'k') as different
    from faults.taken t group by 1, 2)
select b.subject, format('%s messages, answered "%s": %s took %s, of them %s different', b.messages, b.answer,
                         b.consumer_group, coalesce(t.taken, 0), coalesce(t.different, 0))
  from batch b left join took t using (consumer_group, n)
 where t.taken <> t.different
    or coalesce(t.taken, 0) <> case b.answer when 'done' then b.messages when 'unsent' then 0
                                             else case when t.taken is null then 0 else b.messages end end
