-- A message that fails is tried again until it is handled, once, or is a dead letter after exactly its attempts; each attempt is charged once, and a
-- person's retry gives it as many again (1, 2, 10).
select h.subject, format('fails %s times; %s: handled %s times, charged %s, retried by hand %s times, dead letters (attempts): %s', h.detail ->> 'fails',
                         g.consumer_group, t.n, c.attempts, a.n, coalesce(d.attempts, 'none'))
  from faults.history h cross join (values ('taker-a'), ('taker-b')) g(consumer_group)
  cross join lateral (select count(*) as n from faults.taken t
                       where t.consumer_group = g.consumer_group and t.message_id = (h.detail ->> 'message_id')::bigint) t
  cross join lateral (select string_agg(format('%s: %s', d.reason, d.attempts), ', ') as attempts
                        from quantumflow.list_dlq_messages('learning_loop_completed_queue', 100000) d
                       where d.consumer_group = g.consumer_group and d.message_id = (h.detail ->> 'message_id')::bigint) d
  cross join lateral (select coalesce(string_agg(c.attempts::text, ',' order by c.id), 'none') as attempts from faults.charged c
                       where c.consumer_group = g.consumer_group and c.message_id = (h.detail ->> 'message_id')::bigint) c
  cross join lateral (select count(*) as n from quantumflow.operator_action a join quantumflow.cursor k using (cursor_id)
                       where a.action = 'retry' and k.consumer_group = g.consumer_group and a.message_id = (h.detail ->> 'message_id')::bigint) a
 where h.kind = 'call' and h.op = 'failing' and h.answer = 'done'
   and (t.n, coalesce(d.attempts, ''), c.attempts) <> case when h.detail ->> 'fails' = '2' then (1::bigint, ''::text, '1,2'::text)
     else (0::bigint, 'retries_exhausted: 4'::text, '1,2,3' || repeat(',1,2,3', a.n::int)) end
