-- Looking into the queues, and settling dead letters.

-- Every (stream, group) pair, and the streams of shared queues that nobody reads yet (cursor_id is null).
create view quantumflow.position as
  select q.name as queue_name, s.stream_id, s.recipient, s.lane, c.cursor_id, c.consumer_group,
         coalesce(p.done, quantumflow.beginning()) as done, p.win, p.pos_xid, p.pos_id, coalesce(p.taken, 0) as taken,
         p.backlog_taken, c.retired_at
    from quantumflow.queue q join quantumflow.stream s using (queue_id)
    left join quantumflow.cursor c using (stream_id)
    left join lateral (select * from quantumflow.cursor_position t
                        where t.cursor_id = c.cursor_id order by t.cursor_id desc, t.seq desc limit 1) p on true
   where c.cursor_id is not null or s.lane is not null;

create view quantumflow.unread as
  select v.queue_name, v.stream_id, v.recipient, v.cursor_id, v.consumer_group, m.msg_id, m.xid, m.enqueued_at, m.body
    from quantumflow.position v join quantumflow.message m
      on m.stream_id = v.stream_id and m.xid >= pg_snapshot_xmin(v.done)
   where v.retired_at is null and not pg_visible_in_snapshot(m.xid, v.done)
     and (v.win is null or not pg_visible_in_snapshot(m.xid, v.win) or (m.xid, m.msg_id) > (v.pos_xid, v.pos_id))
  union all
  select v.queue_name, v.stream_id, v.recipient, v.cursor_id, v.consumer_group, k.msg_id, k.xid, k.enqueued_at, k.body
    from quantumflow.position v join quantumflow.backlog k on k.cursor_id = v.cursor_id and k.seq > v.backlog_taken;

-- Where every reader stands, in numbers. `oldest` is the message that is next in its turn. Counts no further back than
-- count_messages() did.
create function quantumflow.reader_figures(only_queue text)
returns table (queue_name text, stream_id int, cursor_id int, consumer_group text, published bigint, pending bigint,
               taken bigint, oldest timestamptz)
language sql stable set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
  with published as materialized (
    select s.stream_id, coalesce(c.n, 0) + coalesce(b.n, 0) as n
      from quantumflow.counted t cross join quantumflow.stream s
      left join quantumflow.stream_count c using (stream_id)
      left join quantumflow.count_between((select upto from quantumflow.counted)) b using (stream_id))
  select q.name, s.stream_id, v.cursor_id, v.consumer_group, p.n, w.pending, v.taken,
         case when w.pending > 0 then (
           select min(first.enqueued_at) from (
             (select k.enqueued_at from quantumflow.backlog k
               where k.cursor_id = v.cursor_id and k.seq > v.backlog_taken order by k.cursor_id, k.seq limit 1)
             union all
             (select m.enqueued_at from quantumflow.message m
               where m.stream_id = v.stream_id and (m.xid, m.msg_id) > (f.lower_xid, f.lower_id)
               order by m.xid, m.msg_id limit 1)
             union all
             (select m.enqueued_at from unnest(f.late_xids) late, quantumflow.message m
               where m.stream_id = v.stream_id and m.xid = late and (m.xid <> f.pos_xid or m.msg_id > f.pos_id) is not false
               limit 1)) first) end
    from quantumflow.queue q join quantumflow.stream s using (queue_id) join published p using (stream_id)
    left join quantumflow.position v using (stream_id) left join quantumflow.cursor c using (cursor_id)
    -- No cursor is 0. "is not distinct from" cannot be hashed: each reader of a broadcast would be compared with every other one.
    left join quantumflow.frontier f on f.stream_id = v.stream_id and coalesce(f.cursor_id, 0) = coalesce(v.cursor_id, 0)
    cross join lateral (select case when v.retired_at is null then coalesce(p.n - coalesce(c.skipped, 0) - v.taken, 0) else 0 end as pending) w
   where only_queue is null or q.name = only_queue
$$;

-- When the oldest message that waits for another attempt was published. Without sorting: the index has them in order.
create function quantumflow.oldest_retry(cursor_id int) returns timestamptz language plpgsql stable
set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off set plan_cache_mode = force_generic_plan as $$
begin
  return (select t.enqueued_at from quantumflow.retry t where t.cursor_id = oldest_retry.cursor_id and t.attempts >= 0 and coalesce(t.taken_by, '0') = '0'
           order by t.cursor_id, t.msg_id limit 1);
end $$;

-- The figures of one queue, or of all. For each reader: published - skipped = pending + retrying + dlq + consumed + purged.
create function quantumflow.queue_figures(only_queue text)
returns table (queue_name text, audience text, pending bigint, oldest_age_seconds double precision, retrying bigint,
               dlq bigint, published_total bigint, consumed_total bigint, purged_total bigint, readers bigint)
language sql stable as $$
  with figures as materialized (select * from quantumflow.reader_figures(only_queue)),
  reading as (
    select f.queue_name, sum(f.pending)::bigint as pending, min(f.oldest) as oldest, sum(f.taken)::bigint as taken,
           count(distinct f.consumer_group) as readers
      from figures f group by 1),
  published as (
    select s.queue_name, sum(s.published)::bigint as n
      from (select distinct f.queue_name, f.stream_id, f.published from figures f) s group by 1),
  aside as (
    select v.queue_name, sum(n.retrying)::bigint as retrying, sum(n.dead)::bigint as dead, sum(n.purged)::bigint as purged,
           min(case when n.retrying > 0 then quantumflow.oldest_retry(n.cursor_id) end) as oldest
      from (select a.cursor_id, sum(a.retrying) as retrying, sum(a.dead) as dead, sum(a.purged) as purged
              from quantumflow.aside_count a group by 1) n
      join quantumflow.reader v using (cursor_id)
     where only_queue is null or v.queue_name = only_queue group by 1)
  select q.name, q.audience, coalesce(reading.pending, 0),
         coalesce(extract(epoch from clock_timestamp() - least(reading.oldest, aside.oldest)), 0)::double precision,
         coalesce(aside.retrying, 0), coalesce(aside.dead, 0), coalesce(published.n, 0),
         coalesce(reading.taken, 0) - coalesce(aside.retrying, 0) - coalesce(aside.dead, 0) - coalesce(aside.purged, 0),
         coalesce(aside.purged, 0), coalesce(reading.readers, 0)
    from quantumflow.queue q
    left join reading on reading.queue_name = q.name left join aside on aside.queue_name = q.name
    left join published on published.queue_name = q.name
   where only_queue is null or q.name = only_queue
   order by q.name
$$;
create function quantumflow.list_queues()
returns table (queue_name text, audience text, pending bigint, oldest_age_seconds double precision, retrying bigint,
               dlq bigint, published_total bigint, consumed_total bigint, purged_total bigint, readers bigint)
language sql stable as $$ select * from quantumflow.queue_figures(null) $$;
comment on function quantumflow.list_queues is
  'Every queue with its depth and totals. For each reader: published = pending + retrying + dlq + consumed + purged.';

create function quantumflow.get_queue_stats(queue text)
returns table (queue_name text, audience text, pending bigint, oldest_age_seconds double precision, retrying bigint,
               dlq bigint, published_total bigint, consumed_total bigint, purged_total bigint, readers bigint)
language plpgsql stable as $$
begin
  perform quantumflow.find_queue(queue);
  return query select * from quantumflow.queue_figures(queue);
end $$;

-- Of each reader the messages that are next in its turn, and of these the oldest. Each part is cut to `max` where an index gives its order
-- and bodies are parsed last of all, so that a list costs the same however much waits.
create function quantumflow.list_pending_messages(queue text, max int default 100)
returns table (message_id bigint, payload jsonb, enqueued_at timestamptz, attempts int, recipient text,
               consumer_group text, state text, due_at timestamptz) language plpgsql stable
set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off set jit = off as $$
declare me text := quantumflow.session_instance();  -- an instance sees its own messages only
begin
  perform quantumflow.find_queue(queue);
  return query
    select w.msg_id, quantumflow.payload_of(w.body), w.enqueued_at, w.attempts, w.recipient, w.consumer_group, w.state, w.due_at
      from (
        select n.msg_id, n.body, n.enqueued_at, 0 as attempts, f.recipient,
               case when f.cursor_id is not null then f.consumer_group end as consumer_group, 'pending' as state,
               null::timestamptz as due_at
          from quantumflow.queue q join quantumflow.frontier f using (queue_id)
         cross join lateral (
           (select k.msg_id, k.enqueued_at, k.body from quantumflow.backlog k
             where k.cursor_id = f.cursor_id and k.seq > f.backlog_taken
             order by k.cursor_id, k.seq limit list_pending_messages.max)
           union all
           -- Those from the lower bound on are in the log's part below.
           (select l.msg_id, l.enqueued_at, l.body
              from (select distinct x from unnest(f.late_xids) x where x < f.lower_xid) late
             cross join lateral (
               select m.xid, m.msg_id, m.enqueued_at, m.body from quantumflow.message m
                where m.stream_id = f.stream_id and m.xid = late.x and (m.xid <> f.pos_xid or m.msg_id > f.pos_id) is not false
                order by m.xid, m.msg_id limit list_pending_messages.max) l
             order by l.xid, l.msg_id limit list_pending_messages.max)
           union all
           (select m.msg_id, m.enqueued_at, m.body from quantumflow.message m
             where m.stream_id = f.stream_id and (m.xid, m.msg_id) > (f.lower_xid, f.lower_id)
             order by m.xid, m.msg_id limit list_pending_messages.max)) n
         where q.name = list_pending_messages.queue and (me is null or f.consumer_group = me)
        union all
        select r.msg_id, r.body, r.enqueued_at, r.attempts, v.recipient, v.consumer_group, 'retrying', r.due_at
          from quantumflow.reader v
         cross join lateral (
           select t.msg_id, t.body, t.enqueued_at, t.attempts, t.due_at from quantumflow.retry t
            where t.cursor_id = v.cursor_id and t.attempts >= 0 and coalesce(t.taken_by, '0') = '0'
            order by t.cursor_id, t.msg_id limit list_pending_messages.max) r
         where v.queue_name = list_pending_messages.queue and (me is null or v.consumer_group = me)
        order by 3, 1 limit list_pending_messages.max) w
     order by w.enqueued_at, w.msg_id;
end $$;
comment on function quantumflow.list_pending_messages is
  'What waits in a queue, oldest first: of each reader the max messages that are next in its turn, and of those max.';

-- Newest first, in the same way. Readers that have dead letters are found by leaps through the index: they are few, of thousands.
create function quantumflow.list_dlq_messages(queue text default null, max int default 100)
returns table (id bigint, queue_name text, message_id bigint, payload jsonb, reason text, error text, attempts int,
               errors jsonb, enqueued_at timestamptz, dead_at timestamptz, recipient text, consumer_group text)
language plpgsql stable set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
declare me text := quantumflow.session_instance();
begin
  if queue is not null then perform quantumflow.find_queue(queue); end if;
  return query
    with recursive buried (cursor_id) as (
      (select d.cursor_id from quantumflow.dead_letter d order by d.cursor_id limit 1)
      union all
      select (select d.cursor_id from quantumflow.dead_letter d where d.cursor_id > b.cursor_id order by d.cursor_id limit 1)
        from buried b where b.cursor_id is not null)
    select w.id, w.queue_name, w.msg_id, quantumflow.payload_of(w.body), w.reason, w.errors -> -1 ->> 'error', w.attempts, w.errors,
           w.enqueued_at, w.dead_at, w.recipient, w.consumer_group
      from (
        select v.queue_name, v.recipient, v.consumer_group, d.*
          from buried b join quantumflow.reader v on v.cursor_id = b.cursor_id
         cross join lateral (
           select l.* from quantumflow.dead_letter l where l.cursor_id = b.cursor_id
            order by l.cursor_id desc, l.dead_at desc, l.id desc limit list_dlq_messages.max) d
         where (list_dlq_messages.queue is null or v.queue_name = list_dlq_messages.queue)
           and (me is null or v.consumer_group = me)
         order by d.dead_at desc, d.id desc limit list_dlq_messages.max) w
     order by w.dead_at desc, w.id desc;
end $$;

create function quantumflow.retry_dlq_message(id bigint) returns bigint language plpgsql as $$
declare
  retried bigint;
  gone text;
begin
  select v.consumer_group into gone from quantumflow.dead_letter d join quantumflow.reader v using (cursor_id)
   where (d.id = retry_dlq_message.id or d.msg_id = retry_dlq_message.id) and v.retired_at is not null;
  if found then
    raise exception 'id: the instance "%" of dead letter % was retired; it must subscribe again first', gone, id
      using errcode = 'object_not_in_prerequisite_state';
  end if;
  with back as (delete from quantumflow.dead_letter d where d.id = retry_dlq_message.id or d.msg_id = retry_dlq_message.id
                returning d.*),
  again as (
    insert into quantumflow.retry (cursor_id, xid, msg_id, ordering_key, enqueued_at, body, attempts, due_at, errors, place)
    select b.cursor_id, b.xid, b.msg_id, b.ordering_key, b.enqueued_at, b.body, 0, clock_timestamp(), b.errors,
           -- It was there before those of its key that wait.
           coalesce((select min(w.place) - 1 from quantumflow.retry w
                      where w.cursor_id = b.cursor_id and w.ordering_key = b.ordering_key),
                    nextval(pg_get_serial_sequence('quantumflow.retry', 'place')))
      from back b
    returning retry.cursor_id, retry.msg_id),
  noted as (
    insert into quantumflow.operator_action (action, cursor_id, message_id)
    select 'retry', a.cursor_id, a.msg_id from again a)
  select max(a.msg_id) into retried from again a;
  if retried is null then
    raise exception 'id: there is no dead letter %', id using errcode = 'no_data_found';
  end if;
  perform pg_notify(quantumflow.wake_channel(v.wake_id), '')
     from quantumflow.retry t join quantumflow.reader v using (cursor_id) where t.msg_id = retried;
  return retried;
end $$;
comment on function quantumflow.retry_dlq_message is
  'Gives a dead letter a new set of attempts; returns the message''s id. id: the dead letter''s, or its message''s.';

create function quantumflow.purge_dlq(queue text default null) returns bigint language plpgsql as $$
declare purged bigint;
begin
  if queue is not null then perform quantumflow.find_queue(queue); end if;
  with gone as (
    delete from quantumflow.dead_letter d using quantumflow.reader v
     where v.cursor_id = d.cursor_id and (purge_dlq.queue is null or v.queue_name = purge_dlq.queue)
    returning d.cursor_id, d.msg_id, d.body),
  noted as (
    insert into quantumflow.operator_action (action, cursor_id, message_id, body)
    select 'purge', g.cursor_id, g.msg_id, g.body from gone g returning 1)
  select count(*) into purged from noted;
  return purged;
end $$;
comment on function quantumflow.purge_dlq is 'Deletes dead letters (of one queue, or of all); who did it and what it was stays in quantumflow.operator_action.';
