-- Bad messages, each once, are the dead letters (or were cleared away by a person), and nothing else is; no other message is charged an
-- attempt (1, 10: none is burned by a stop or a crash).
select d.message_id::text, format('%s in %s: %s (%s attempts): %s', d.reason, d.queue_name, d.error, d.attempts, left(d.payload::text, 200))
  from quantumflow.list_dlq_messages(null, 100000) d where not d.payload ? 'poison'
union all
select h.subject, format('published as message %s: %s dead letters of it, cleared away %s times', h.detail ->> 'message_id', d.n, p.n)
  from faults.history h
  cross join lateral (select count(*) as n from quantumflow.dead_letter d where d.msg_id = (h.detail ->> 'message_id')::bigint) d
  cross join lateral (select count(*) as n from quantumflow.operator_action a
                       where a.action = 'purge' and a.message_id = (h.detail ->> 'message_id')::bigint) p
 where h.kind = 'call' and h.op = 'poison' and h.answer = 'done' and d.n + p.n <> 1
union all
select c.message_id::text, format('charged its attempt %s in %s of %s: %s', c.attempts, c.queue_name, c.consumer_group, c.error)
  from faults.charged c where not quantumflow.payload_of(c.body) ? 'poison'
