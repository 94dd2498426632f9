-- Bad messages, each once, are the dead letters, and nothing else is (1, 10: no attempt is burned by a stop or a crash).
select d.message_id::text, format('%s in %s: %s (%s attempts): %s', d.reason, d.queue_name, d.error, d.attempts, left(d.payload::text, 200))
  from quantumflow.list_dlq_messages(null, 100000) d where not d.payload ? 'poison'
union all
select h.subject, format('published as message %s, and %s dead letters of it', h.detail ->> 'message_id', count(d.id))
  from faults.history h left join quantumflow.list_dlq_messages(null, 100000) d on d.message_id = (h.detail ->> 'message_id')::bigint
 where h.kind = 'call' and h.op = 'poison' and h.answer = 'done' group by h.subject, h.detail ->> 'message_id' having count(d.id) <> 1
union all
select h.subject, format('charged %s attempts in %s: %s', h.detail ->> 'attempts', h.detail ->> 'queue', h.detail ->> 'errors')
  from faults.history h where h.op = 'attempt_charged'
