-- What the counters of a queue say is what the daemons' own rows and the suite say; what is not there any more was consumed, is a dead letter or was
-- cleared away by a person; at the end nothing waits (1, 8).
with gone as (  -- dead letters, and those that a person cleared away
  select r.queue_name, r.consumer_group, count(*) as n
    from (select d.cursor_id from quantumflow.dead_letter d
          union all select a.cursor_id from quantumflow.operator_action a where a.action = 'purge') x
    join quantumflow.reader r using (cursor_id) group by 1, 2),
flooded as (
  select f.key as queue_name, sum(f.value::text::bigint) as n
    from faults.history h cross join lateral jsonb_each(h.detail) f where h.op = 'flooded' and f.key like '%\_queue' group by 1),
forged as (  -- two messages a call, each in a transaction of its own
  select coalesce(sum(2) filter (where h.answer = 'done'), 0) as least,
         coalesce(sum(case h.answer when 'unsent' then 1 else 2 end), 0) as most
    from faults.history h where h.kind = 'call' and h.op = 'late_vote'),
told (queue_name, least, most) as (
  select 'proposals_for_consensus_queue', count(*), count(*) from singularity.proposal where sent_message is not null
  union all select 'metrics_to_guardian_queue', count(*), count(*) from singularity.sample where message_id is not null
  union all select 'voting_requests_queue', count(*), count(*) from centralcloud.proposal where deadline is not null
  union all select 'consensus_results_queue', count(*), count(*) from centralcloud.decision
  union all select 'rollback_triggers_queue', sum(t.n), sum(t.n)
              from (select count(*) as n from centralcloud.rollback
                    union all select count(*) from centralcloud.audit_log where action = 'rollback_repeated') t
  union all select 'consensus_patterns_queue', count(*), count(*) from centralcloud.pattern where state <> 'observed'
  union all select 'guardian_safety_profiles_queue', count(*), count(*) from centralcloud.audit_log where action = 'safety_profile_update'
  union all select 'patterns_for_aggregator_queue', coalesce(sum(s.reports), 0), coalesce(sum(s.reports), 0)
              from centralcloud.pattern p join centralcloud.pattern_source s using (pattern_id) where p.pattern_type <> 'flood'
  union all select 'votes_for_consensus_queue', count(*) + f.least, count(*) + f.most
              from singularity.vote_request cross join forged f where message_id is not null group by f.least, f.most)
select q.queue_name, format('published %s by the counters, and %s to %s by those who did', q.published_total, t.least + x.n, t.most + x.n)
  from told t join quantumflow.list_queues() q using (queue_name)
  cross join lateral (select coalesce((select f.n from flooded f where f.queue_name = q.queue_name), 0)
                           + coalesce((select sum(g.n) from gone g where g.queue_name = q.queue_name), 0) as n) x
 where q.published_total not between t.least + x.n and t.most + x.n
union all
-- The suite's own readers wrote down what they took.
select q.queue_name, format('published %s, and %s has %s of them', q.published_total, r.consumer_group, t.n + coalesce(g.n, 0))
  from quantumflow.list_queues() q join quantumflow.reader r using (queue_name)
  cross join lateral (select count(distinct t.message_id) as n from faults.taken t where t.consumer_group = r.consumer_group) t
  left join gone g using (queue_name, consumer_group)
 where q.queue_name = 'learning_loop_completed_queue' and q.published_total <> t.n + coalesce(g.n, 0)
union all
select q.queue_name, format('consumed %s by the counters, and %s were taken', q.consumed_total, (select count(*) from faults.taken))
  from quantumflow.list_queues() q
 where q.queue_name = 'learning_loop_completed_queue' and q.consumed_total <> (select count(*) from faults.taken)
union all
select q.queue_name, format('purged %s by the counters, %s in calls that were answered, %s in others', q.purged_total, c.n, c.unsure)
  from quantumflow.list_queues() q
  cross join lateral (select coalesce(sum((h.detail ->> 'purged')::bigint), 0) as n, count(*) filter (where h.answer not in ('done', 'unsent')) as unsure
                        from faults.history h where h.op = 'dlq_purge' and h.subject = q.queue_name) c
 where q.purged_total < c.n or (c.unsure = 0 and q.purged_total <> c.n)
union all
select h.subject, format('retried by hand, answered "%s", and noted %s times', h.answer, a.n)
  from (select (h.detail ->> 'message_id')::bigint as message_id, min(h.subject) as subject, string_agg(h.answer, ', ') as answer,
               count(*) filter (where h.answer = 'done') as done, count(*) filter (where h.answer not in ('done', 'unsent', 'refused')) as unsure
          from faults.history h where h.kind = 'call' and h.op = 'dlq_retry' group by 1) h
  cross join lateral (select count(*) as n from quantumflow.operator_action a where a.action = 'retry' and a.message_id = h.message_id) a
 where a.n not between h.done and h.done + h.unsure
union all
select q.queue_name, format('%s pending and %s retrying at the end', q.pending, q.retrying)
  from quantumflow.list_queues() q where (q.pending <> 0 or q.retrying <> 0) and q.readers > 0
union all
-- Counted is not looked at: the one must say what the other finds.
select f.queue_name, format('%s has %s to read by the counters, and %s are there', f.consumer_group, f.pending, u.n)
  from quantumflow.reader_figures(null) f cross join lateral (
    select count(*) as n from quantumflow.unread u where u.cursor_id = f.cursor_id) u
 where f.cursor_id is not null and f.pending <> u.n
