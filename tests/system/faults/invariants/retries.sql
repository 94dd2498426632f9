-- A message that fails is tried again until it is handled, once, or is a dead letter after exactly its attempts (1, 2, 10).
select h.subject, format('fails %s times; %s: handled %s times, dead letters (attempts): %s', h.detail ->> 'fails', g.consumer_group, t.n,
                         coalesce(d.attempts, 'none'))
  from faults.history h cross join (values ('taker-a'), ('taker-b')) g(consumer_group)
  cross join lateral (select count(*) as n from faults.taken t
                       where t.consumer_group = g.consumer_group and t.message_id = (h.detail ->> 'message_id')::bigint) t
  cross join lateral (select string_agg(format('%s: %s', d.reason, d.attempts), ', ') as attempts
                        from quantumflow.list_dlq_messages('learning_loop_completed_queue', 100000) d
                       where d.consumer_group = g.consumer_group and d.message_id = (h.detail ->> 'message_id')::bigint) d
 where h.kind = 'call' and h.op = 'failing' and h.answer = 'done'
   and (t.n, coalesce(d.attempts, '')) <> case when h.detail ->> 'fails' = '2' then (1::bigint, ''::text) else (0::bigint, 'retries_exhausted: 4'::text) end
