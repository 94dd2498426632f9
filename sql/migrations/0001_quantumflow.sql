-- QuantumFlow: a durable queue as an append-only log, read through snapshot cursors. sql/README.md explains why no
-- message can be skipped or seen twice, and the lock order.
create schema if not exists quantumflow;
comment on schema quantumflow is 'The durable queue layer: publish, take, fail, retry and dead letters. Use the functions, not the tables.';

-- ── Catalogue ──────────────────────────────────────────────────────────────────────────────────────────────────────

create table quantumflow.queue (
  queue_id       int generated always as identity primary key,
  name           text not null unique check (name ~ '^[a-z][a-z0-9_]{0,62}$'),
  -- lanes: consumer groups share the work, ordered by key; directed: one instance; broadcast: every instance
  audience       text not null check (audience in ('lanes', 'directed', 'broadcast', 'directed_or_broadcast')),
  lane_count     int not null default 1 check (lane_count between 1 and 64),
  ordering_key   text[] not null,  -- path of the ordering key in the payload
  max_retries    int not null default 3 check (max_retries between 0 and 100),
  retry_delay_ms int not null default 1000 check (retry_delay_ms between 1 and 60000));

-- One addressable sequence of messages.
create table quantumflow.stream (
  stream_id        int generated always as identity primary key,
  queue_id         int not null references quantumflow.queue,
  recipient        text check (length(recipient) between 1 and 200),  -- an instance
  lane             int,                                               -- 0-based; both null: broadcast
  wake_id          int not null,            -- streams that one sleeper waits for together share it
  truncated_total  bigint not null default 0,  -- messages whose segment was truncated after everyone had read them
  unique nulls not distinct (queue_id, recipient, lane));

create table quantumflow.cursor (
  cursor_id      int generated always as identity primary key,
  stream_id      int not null references quantumflow.stream,
  consumer_group text not null check (length(consumer_group) between 1 and 200),
  created_at     timestamptz not null default clock_timestamp(),
  unique (stream_id, consumer_group));

-- Where a cursor stands: the row with the highest seq. Appended, never updated, so that a snapshot held open for hours
-- does not make every take walk over dead versions of one row; trim_positions() deletes the older ones.
create table quantumflow.cursor_position (
  cursor_id int not null references quantumflow.cursor,
  seq       bigint not null,
  done      pg_snapshot not null,  -- every message visible in it has been taken
  win       pg_snapshot,           -- the window being read, when it did not fit into one batch
  pos_xid   xid8,                  -- last message taken from that window
  pos_id    bigint,
  taken     bigint not null,       -- messages taken since the cursor began
  primary key (cursor_id, seq));

-- ── The log ────────────────────────────────────────────────────────────────────────────────────────────────────────

create sequence quantumflow.message_id;

-- Three segments of one log; publishers write the current one. Rows are neither updated nor deleted, so there is nothing
-- to vacuum.
create table quantumflow.message_0 (
  stream_id   int not null,
  msg_id      bigint not null default nextval('quantumflow.message_id'),
  xid         xid8 not null default pg_current_xact_id(),
  enqueued_at timestamptz not null default clock_timestamp(),
  body        text not null);  -- a JSON object; text costs half of jsonb at publish
create table quantumflow.message_1 (like quantumflow.message_0 including defaults);
create table quantumflow.message_2 (like quantumflow.message_0 including defaults);
create index on quantumflow.message_0 (stream_id, xid, msg_id);
create index on quantumflow.message_1 (stream_id, xid, msg_id);
create index on quantumflow.message_2 (stream_id, xid, msg_id);

create table quantumflow.current_segment (
  only_row boolean primary key default true check (only_row),
  segment  smallint not null check (segment between 0 and 2));
insert into quantumflow.current_segment (segment) values (0);

-- A view and not a parent table: an empty parent would cost 1e10 with enable_seqscan off and start JIT on every call.
create view quantumflow.message as
  select stream_id, msg_id, xid, enqueued_at, body from quantumflow.message_0 union all
  select stream_id, msg_id, xid, enqueued_at, body from quantumflow.message_1 union all
  select stream_id, msg_id, xid, enqueued_at, body from quantumflow.message_2;

-- ── Failures only ──────────────────────────────────────────────────────────────────────────────────────────────────

-- Messages waiting for another attempt, and those that wait behind one with the same ordering key (attempts = 0).
create table quantumflow.retry (
  cursor_id    int not null references quantumflow.cursor,
  xid          xid8 not null,
  msg_id       bigint not null,
  ordering_key text,
  enqueued_at  timestamptz not null,
  body         text not null,
  attempts     int not null,                    -- failed attempts so far
  due_at       timestamptz not null,
  errors       jsonb not null default '[]',     -- [{at, error}], oldest first
  taken_by     xid8,                            -- the transaction that took it: visible and not null = consumed
  primary key (cursor_id, xid, msg_id));

create table quantumflow.dead_letter (
  id           bigint primary key default nextval('quantumflow.message_id'),  -- never equal to a message's id
  cursor_id    int not null references quantumflow.cursor,
  xid          xid8 not null,
  msg_id       bigint not null,
  ordering_key text,
  enqueued_at  timestamptz not null,
  body         text not null,
  attempts     int not null,
  reason       text not null check (reason in ('retries_exhausted', 'rejected')),
  errors       jsonb not null,
  dead_at      timestamptz not null default clock_timestamp());
create index on quantumflow.dead_letter (cursor_id);
create index on quantumflow.dead_letter (msg_id);

-- What people did to messages by hand: the only way a message leaves without having been consumed.
create table quantumflow.operator_action (
  id         bigint generated always as identity primary key,
  at         timestamptz not null default clock_timestamp(),
  actor      text not null default session_user,
  action     text not null check (action in ('purge', 'retry')),
  cursor_id  int not null references quantumflow.cursor,
  message_id bigint not null,
  body       text);
create index on quantumflow.operator_action (cursor_id) where action = 'purge';

-- ── Small helpers ──────────────────────────────────────────────────────────────────────────────────────────────────

-- Classes of advisory locks: (class, id).
create function quantumflow.cursor_lock_class() returns int language sql immutable parallel safe as 'select 1902671';
create function quantumflow.wake_lock_class() returns int language sql immutable parallel safe as 'select 1902672';
create function quantumflow.wake_channel(wake_id int) returns text language sql immutable parallel safe as
  $$ select 'quantumflow_' || wake_id $$;

create function quantumflow.find_queue(queue text) returns quantumflow.queue language plpgsql stable as $$
declare found_queue quantumflow.queue;
begin
  select * into found_queue from quantumflow.queue q where q.name = find_queue.queue;
  if not found then
    raise exception 'queue: there is no queue named "%"', left(queue, 100)
      using errcode = 'undefined_object', hint = 'select queue_name from quantumflow.list_queues()';
  end if;
  return found_queue;
end $$;

-- pg_current_snapshot() leaves out the caller's own xid; a window must count it as in progress, or messages that a
-- handler publishes to the stream it reads would be lost.
create function quantumflow.snapshot_without_own() returns pg_snapshot language plpgsql volatile as $$
declare
  now_snapshot pg_snapshot := pg_current_snapshot();
  own xid8 := pg_current_xact_id_if_assigned();
begin
  if own is not null and pg_visible_in_snapshot(own, now_snapshot) then
    now_snapshot := format('%s:%s:%s', least(pg_snapshot_xmin(now_snapshot), own), pg_snapshot_xmax(now_snapshot),
      (select string_agg(x::text, ',' order by x)
         from (select pg_snapshot_xip(now_snapshot) x union select own) in_progress))::pg_snapshot;
  end if;
  return now_snapshot;
end $$;

-- ── Streams and cursors ────────────────────────────────────────────────────────────────────────────────────────────

-- Before every transaction: a cursor that starts here gets all that the log still holds.
create function quantumflow.beginning() returns pg_snapshot language sql immutable parallel safe as
  $$ select '1:1:'::pg_snapshot $$;

create function quantumflow.add_cursor(stream_id int, consumer_group text, start pg_snapshot) returns void
language plpgsql as $$
declare new_id int;
begin
  insert into quantumflow.cursor (stream_id, consumer_group) values (add_cursor.stream_id, add_cursor.consumer_group)
    on conflict do nothing returning cursor_id into new_id;
  if new_id is not null then
    insert into quantumflow.cursor_position (cursor_id, seq, done, taken) values (new_id, 1, start, 0);
  end if;
end $$;

create function quantumflow.find_or_add_stream(queue quantumflow.queue, recipient text, lane int) returns quantumflow.stream
language plpgsql as $$
declare
  s quantumflow.stream;
  new_id int;
begin
  for attempt in 1..2 loop
    select * into s from quantumflow.stream t
      where t.queue_id = queue.queue_id and t.recipient is not distinct from find_or_add_stream.recipient
        and t.lane is not distinct from find_or_add_stream.lane;
    if found then return s; end if;
    new_id := nextval(pg_get_serial_sequence('quantumflow.stream', 'stream_id'));
    insert into quantumflow.stream (stream_id, queue_id, recipient, lane, wake_id) overriding system value
      values (new_id, queue.queue_id, recipient, lane,
              case when lane > 0 then (select t.wake_id from quantumflow.stream t
                                        where t.queue_id = queue.queue_id and t.lane = 0) else new_id end)
      on conflict do nothing returning * into s;
    if found then
      -- What is sent to one instance waits for it, whether it has been seen yet or not.
      if recipient is not null then
        perform quantumflow.add_cursor(s.stream_id, recipient, quantumflow.beginning());
      end if;
      return s;
    end if;
  end loop;
  raise exception 'stream of queue "%" could not be added', queue.name;
end $$;

-- Declares a queue with its streams. `consumer_group`: the group that has everything from the beginning; without one,
-- the first group that subscribes gets it.
create function quantumflow.declare_queue(queue text, audience text, ordering_key text[], lane_count int default 1,
                                          consumer_group text default null) returns void language plpgsql as $$
declare
  q quantumflow.queue;
  s quantumflow.stream;
begin
  insert into quantumflow.queue (name, audience, ordering_key, lane_count)
    values (declare_queue.queue, declare_queue.audience, declare_queue.ordering_key, declare_queue.lane_count)
    returning * into q;
  if q.audience = 'lanes' then
    for k in 0 .. q.lane_count - 1 loop
      s := quantumflow.find_or_add_stream(q, null, k);
      if consumer_group is not null then
        perform quantumflow.add_cursor(s.stream_id, consumer_group, quantumflow.beginning());
      end if;
    end loop;
  elsif q.audience in ('broadcast', 'directed_or_broadcast') then
    perform quantumflow.find_or_add_stream(q, null, null);
  end if;
end $$;

-- Which stream a message goes to. Errors name the argument.
create function quantumflow.route(q quantumflow.queue, payload jsonb, recipient text) returns quantumflow.stream
language plpgsql as $$
declare to_instance text := recipient;
begin
  if q.audience = 'lanes' then
    if recipient is not null then
      raise exception 'recipient: queue "%" is shared by consumer groups; leave the recipient out', q.name
        using errcode = 'invalid_parameter_value';
    end if;
    return quantumflow.find_or_add_stream(q, null,
      ((hashtextextended(coalesce(payload #>> q.ordering_key, ''), 0) & 9223372036854775807) % q.lane_count)::int);
  end if;
  if q.audience = 'directed' and to_instance is null then
    to_instance := payload ->> 'instance_id';
  end if;
  if to_instance is null and q.audience = 'directed' then
    raise exception 'recipient: queue "%" needs the instance that the message is for', q.name
      using errcode = 'invalid_parameter_value';
  elsif to_instance is not null and q.audience = 'broadcast' then
    raise exception 'recipient: queue "%" goes to every instance; leave the recipient out', q.name
      using errcode = 'invalid_parameter_value';
  elsif length(to_instance) not between 1 and 200 then
    raise exception 'recipient: expected 1 to 200 characters' using errcode = 'invalid_parameter_value';
  end if;
  return quantumflow.find_or_add_stream(q, to_instance, null);
end $$;

-- ── Publishing ─────────────────────────────────────────────────────────────────────────────────────────────────────

-- Appends to the current segment. NOTIFY takes a lock that serializes commits, so it is only sent when somebody sleeps:
-- a sleeper holds the wake lock exclusively, publishers try it in shared mode until their commit, and a sleeper looks
-- once more after it got the lock. A broadcast has many sleepers and one lock cannot speak for all: always notified.
create function quantumflow.append(s quantumflow.stream, body text) returns bigint language plpgsql as $$
declare
  current smallint;
  new_id bigint;
begin
  select segment into current from quantumflow.current_segment;
  if current = 0 then
    insert into quantumflow.message_0 (stream_id, body) values (s.stream_id, append.body) returning msg_id into new_id;
  elsif current = 1 then
    insert into quantumflow.message_1 (stream_id, body) values (s.stream_id, append.body) returning msg_id into new_id;
  else
    insert into quantumflow.message_2 (stream_id, body) values (s.stream_id, append.body) returning msg_id into new_id;
  end if;
  if (s.recipient is null and s.lane is null)
     or not pg_try_advisory_xact_lock_shared(quantumflow.wake_lock_class(), s.wake_id) then
    perform pg_notify(quantumflow.wake_channel(s.wake_id), '');
  end if;
  return new_id;
end $$;

create function quantumflow.publish(queue text, payload jsonb, recipient text default null) returns bigint
language plpgsql as $$
declare q quantumflow.queue := quantumflow.find_queue(queue);
begin
  if payload is null or jsonb_typeof(payload) <> 'object' then
    raise exception 'payload: expected a JSON object, got %', coalesce(jsonb_typeof(payload), 'NULL')
      using errcode = 'invalid_parameter_value';
  end if;
  return quantumflow.append(quantumflow.route(q, payload, recipient), payload::text);
end $$;
comment on function quantumflow.publish is
  'Publishes a message in the caller''s transaction and returns its id. recipient: the instance, for queues that are addressed to one.';

-- ── Subscribing and taking ─────────────────────────────────────────────────────────────────────────────────────────

create function quantumflow.subscribe(queue text, consumer_group text) returns void language plpgsql as $$
declare
  q quantumflow.queue := quantumflow.find_queue(queue);
  s quantumflow.stream;
  has_readers boolean;
begin
  if coalesce(length(consumer_group), 0) not between 1 and 200 then
    raise exception 'consumer_group: expected 1 to 200 characters' using errcode = 'invalid_parameter_value';
  end if;
  if q.audience in ('directed', 'directed_or_broadcast') then
    perform quantumflow.find_or_add_stream(q, consumer_group, null);
  end if;
  for s in select * from quantumflow.stream t
            where t.queue_id = q.queue_id and t.recipient is null order by t.stream_id for update
  loop
    has_readers := s.lane is null or exists (select from quantumflow.cursor c where c.stream_id = s.stream_id);
    perform quantumflow.add_cursor(s.stream_id, consumer_group,
      case when has_readers then pg_current_snapshot() else quantumflow.beginning() end);
  end loop;
end $$;
comment on function quantumflow.subscribe is
  'Makes the group a reader of the queue, from now on; safe to repeat. The first group of a queue that nobody read yet gets all that waits. An instance subscribes with its own name: it reads what is addressed to it and what goes to everyone.';

-- The cursors of one group on one queue.
create view quantumflow.reader as
  select q.name as queue_name, q.queue_id, s.stream_id, s.recipient, s.lane, s.wake_id, c.cursor_id, c.consumer_group
    from quantumflow.cursor c join quantumflow.stream s using (stream_id) join quantumflow.queue q using (queue_id);

-- Is there a message in the log for this cursor? Takes no lock and no xid. Without SET, so that it is inlined: its callers
-- pin the index scans.
create function quantumflow.has_new(cursor_id int, stream_id int) returns boolean language sql stable as $$
  select exists (
    select from (select p.done, p.win from quantumflow.cursor_position p
                  where p.cursor_id = has_new.cursor_id order by p.cursor_id desc, p.seq desc limit 1) c
     where c.win is not null
        or exists (select from quantumflow.message m
                    where m.stream_id = has_new.stream_id and m.xid >= pg_snapshot_xmax(c.done))
        or exists (select from quantumflow.message m
                    where m.stream_id = has_new.stream_id and m.xid = any (array(select pg_snapshot_xip(c.done)))))
$$;

-- Does anything wait in the retry table? Cheap, and inlined: nearly always no, which spares the question when it is due.
create function quantumflow.has_retries(cursor_id int) returns boolean language sql stable as $$
  select exists (select from quantumflow.retry r where r.cursor_id = has_retries.cursor_id and r.taken_by is null)
$$;

-- When the next retry of the cursor is due; null when none waits. Only the oldest of an ordering key can be due.
create function quantumflow.next_retry_at(cursor_id int) returns timestamptz language sql stable as $$
  select min(due_at) from (
    select distinct on (coalesce(r.ordering_key, r.msg_id::text)) r.due_at
      from quantumflow.retry r where r.cursor_id = next_retry_at.cursor_id and r.taken_by is null
     order by coalesce(r.ordering_key, r.msg_id::text), r.xid, r.msg_id) heads
$$;

-- Milliseconds until the group has something to take on the queue: 0 now, null when only a publish can bring it.
create function quantumflow.next_work_ms(queue text, consumer_group text) returns bigint language plpgsql stable
set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
begin
  return (
  select min(case when quantumflow.has_new(r.cursor_id, r.stream_id) then 0
                  -- greatest() ignores null: without the test, "no retry" would read as "now"
                  when quantumflow.has_retries(r.cursor_id)
                  then greatest(0, ceil(extract(epoch from quantumflow.next_retry_at(r.cursor_id)
                                                           - clock_timestamp()) * 1000))::bigint end)
    from quantumflow.reader r
   where r.queue_name = next_work_ms.queue and r.consumer_group = next_work_ms.consumer_group);
end $$;

-- The group lies down on the queue: raises the flag that makes publishers notify, in the caller's session, then looks once
-- more. flag: "raised", to be lowered with get_up in the same session when nobody of it sleeps any more; "covered": another
-- session has raised it and will get the same notification; "busy": publishers are under way who could still believe that
-- nobody sleeps; look again soon.
create function quantumflow.lie_down(queue text, consumer_group text, out flag text, out work_ms bigint)
language plpgsql as $$
declare
  ids int[] := array(select distinct r.wake_id from quantumflow.reader r
                      where r.queue_name = lie_down.queue and r.consumer_group = lie_down.consumer_group
                        and (r.lane is not null or r.recipient is not null) order by r.wake_id);
  held int[] := '{}';
  id int;
begin
  flag := 'raised';
  foreach id in array ids loop
    if pg_try_advisory_lock(quantumflow.wake_lock_class(), id) then
      held := held || id;
    elsif pg_try_advisory_lock_shared(quantumflow.wake_lock_class(), id) then
      perform pg_advisory_unlock_shared(quantumflow.wake_lock_class(), id);
      flag := 'busy';
    elsif flag = 'raised' then
      flag := 'covered';
    end if;
  end loop;
  if flag <> 'raised' then
    foreach id in array held loop perform pg_advisory_unlock(quantumflow.wake_lock_class(), id); end loop;
  end if;
  work_ms := quantumflow.next_work_ms(queue, consumer_group);
end $$;

create function quantumflow.get_up(queue text, consumer_group text) returns void language plpgsql as $$
begin
  perform pg_advisory_unlock(quantumflow.wake_lock_class(), ids.wake_id)
     from (select distinct r.wake_id from quantumflow.reader r
            where r.queue_name = get_up.queue and r.consumer_group = get_up.consumer_group
              and (r.lane is not null or r.recipient is not null)) ids;
end $$;

create type quantumflow.delivery as (
  message_id bigint, body text, enqueued_at timestamptz, attempts int, cursor_id int);

-- Takes what is due of the cursor's retries: of each ordering key only the oldest, so that order is kept.
create function quantumflow.take_due_retries(cursor_id int, max int) returns setof quantumflow.delivery
language plpgsql as $$
begin
  -- Rows taken by a committed transaction are done with (those of a running or aborted one do not look taken to us).
  delete from quantumflow.retry r
   where r.cursor_id = take_due_retries.cursor_id and r.taken_by is not null and r.taken_by <> pg_current_xact_id();
  return query
    with heads as (
      select distinct on (coalesce(r.ordering_key, r.msg_id::text)) r.xid, r.msg_id, r.due_at
        from quantumflow.retry r where r.cursor_id = take_due_retries.cursor_id
       order by coalesce(r.ordering_key, r.msg_id::text), r.xid, r.msg_id),
    due as (select h.xid, h.msg_id from heads h where h.due_at <= clock_timestamp()
             order by h.xid, h.msg_id limit take_due_retries.max),
    taken as (
      update quantumflow.retry r set taken_by = pg_current_xact_id() from due
       where r.cursor_id = take_due_retries.cursor_id and r.xid = due.xid and r.msg_id = due.msg_id and r.taken_by is null
      returning r.*)
    select t.msg_id, t.body, t.enqueued_at, t.attempts, t.cursor_id from taken t order by t.xid, t.msg_id;
end $$;

-- Takes the next batch of one cursor, or nothing if somebody else has it in hand. Order: due retries, then the log.
create function quantumflow.take_from(cursor_id int, stream_id int, max int) returns setof quantumflow.delivery
language plpgsql set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
#variable_conflict use_column
declare
  c quantumflow.cursor_position;
  window_ pg_snapshot;
  lower_xid xid8;
  lower_id bigint;
  after_xid xid8;
  after_id bigint;
  late_xids xid8[] := '{}';
  waiting_keys text[];
  key_path text[];
  retried int := 0;
begin
  if not pg_try_advisory_xact_lock(quantumflow.cursor_lock_class(), take_from.cursor_id) then return; end if;
  if exists (select from quantumflow.retry r where r.cursor_id = take_from.cursor_id) then
    return query select * from quantumflow.take_due_retries(take_from.cursor_id, take_from.max);
    get diagnostics retried = row_count;
    waiting_keys := array(select distinct r.ordering_key from quantumflow.retry r
                           where r.cursor_id = take_from.cursor_id and r.ordering_key is not null);
    select q.ordering_key into key_path from quantumflow.reader v join quantumflow.queue q using (queue_id)
     where v.cursor_id = take_from.cursor_id;
  end if;
  select * into c from quantumflow.cursor_position p
   where p.cursor_id = take_from.cursor_id order by p.cursor_id desc, p.seq desc limit 1;
  perform set_config('quantumflow.in_hand',
    coalesce(current_setting('quantumflow.in_hand', true), '') || c.cursor_id || ':' || c.seq || ',', true);
  if retried >= take_from.max then return; end if;

  window_ := coalesce(c.win, quantumflow.snapshot_without_own());
  after_xid := coalesce(c.pos_xid, '0');
  after_id := coalesce(c.pos_id, 0);
  -- One lower bound only: with "xid >= a" and "(xid, msg_id) > (b, c)" together the btree scan would start at the lower
  -- of the two, the oldest row kept.
  lower_xid := after_xid;
  lower_id := after_id;
  if lower_xid < pg_snapshot_xmax(c.done) then
    lower_xid := pg_snapshot_xmax(c.done);
    lower_id := 0;
    late_xids := array(select x from pg_snapshot_xip(c.done) x where x >= after_xid and pg_visible_in_snapshot(x, window_));
  end if;
  return query
    with batch as materialized (
      select * from (
        (select m.* from unnest(late_xids) late cross join lateral (
           select * from quantumflow.message l
            where l.stream_id = take_from.stream_id and l.xid = late and (l.xid, l.msg_id) > (after_xid, after_id)
            order by l.xid, l.msg_id limit take_from.max - retried) m)
        union all
        (select * from quantumflow.message m
          where m.stream_id = take_from.stream_id and (m.xid, m.msg_id) > (lower_xid, lower_id)
            and m.xid < pg_snapshot_xmax(window_) and pg_visible_in_snapshot(m.xid, window_)
          order by m.xid, m.msg_id limit take_from.max - retried)) both_parts
      order by xid, msg_id limit take_from.max - retried),
    last as (select b.xid, b.msg_id, (select count(*) from batch) as n from batch b order by b.xid desc, b.msg_id desc limit 1),
    moved as (
      insert into quantumflow.cursor_position (cursor_id, seq, done, win, pos_xid, pos_id, taken)
      select c.cursor_id, c.seq + 1,
             case when more then c.done else window_ end, case when more then window_ end,
             case when more then l.xid end, case when more then l.msg_id end, c.taken + coalesce(l.n, 0)
        from (select 1) one left join last l on true
             cross join lateral (select coalesce(l.n, 0) = take_from.max - retried as more) full_batch
       where l.n is not null or c.win is not null),
    -- Behind a message of the same key that waits for its retry, this one waits too.
    parked as (
      insert into quantumflow.retry (cursor_id, xid, msg_id, ordering_key, enqueued_at, body, attempts, due_at)
      select take_from.cursor_id, b.xid, b.msg_id, b.body::jsonb #>> key_path, b.enqueued_at, b.body, 0, '-infinity'
        from batch b where cardinality(waiting_keys) > 0 and b.body::jsonb #>> key_path = any (waiting_keys)
      returning msg_id)
    select b.msg_id, b.body, b.enqueued_at, 0, take_from.cursor_id from batch b
     where coalesce(cardinality(waiting_keys), 0) = 0 or b.msg_id not in (select p.msg_id from parked p)
     order by b.xid, b.msg_id;
end $$;

create function quantumflow.check_take(queue text, consumer_group text, max int) returns void language plpgsql as $$
begin
  -- The newest position must be seen: under a snapshot kept for the whole transaction a batch could be taken twice.
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception 'take: needs READ COMMITTED, this transaction is %', upper(current_setting('transaction_isolation'))
      using errcode = 'invalid_transaction_state';
  elsif max is null or max not between 1 and 10000 then
    raise exception 'max: expected 1 to 10000' using errcode = 'invalid_parameter_value';
  elsif not exists (select from quantumflow.reader r
                     where r.queue_name = check_take.queue and r.consumer_group = check_take.consumer_group) then
    perform quantumflow.find_queue(queue);
    raise exception 'consumer_group: "%" is not subscribed to queue "%"', left(consumer_group, 100), queue
      using errcode = 'undefined_object', hint = 'call quantumflow.subscribe(queue, consumer_group) once';
  end if;
end $$;

-- The batch of one lane that has work and is free: what a worker of a daemon takes. `only_cursor` takes from that one.
create function quantumflow.take_lane(queue text, consumer_group text, max int, only_cursor int default null)
returns setof quantumflow.delivery language plpgsql
set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
#variable_conflict use_column
declare r record;
begin
  perform quantumflow.check_take(queue, consumer_group, max);
  for r in select v.cursor_id, v.stream_id from quantumflow.reader v
            where v.queue_name = take_lane.queue and v.consumer_group = take_lane.consumer_group
              and (take_lane.only_cursor is null or v.cursor_id = take_lane.only_cursor)
              and (quantumflow.has_new(v.cursor_id, v.stream_id)
                   or (quantumflow.has_retries(v.cursor_id)
                       and quantumflow.next_retry_at(v.cursor_id) <= clock_timestamp()))
            order by random()
  loop
    return query select * from quantumflow.take_from(r.cursor_id, r.stream_id, take_lane.max);
    if found then return; end if;
  end loop;
end $$;

create function quantumflow.take(queue text, consumer_group text, max int default 100)
returns table (message_id bigint, payload jsonb, enqueued_at timestamptz, attempts int) language plpgsql as $$
#variable_conflict use_column
declare
  r quantumflow.reader;
  remaining int := max;
  found_rows int;
begin
  perform quantumflow.check_take(queue, consumer_group, max);
  for r in select * from quantumflow.reader v
            where v.queue_name = take.queue and v.consumer_group = take.consumer_group order by random()
  loop
    exit when remaining <= 0;
    if quantumflow.has_new(r.cursor_id, r.stream_id) or quantumflow.next_retry_at(r.cursor_id) <= clock_timestamp() then
      return query select d.message_id, d.body::jsonb, d.enqueued_at, d.attempts
                     from quantumflow.take_from(r.cursor_id, r.stream_id, remaining) d;
      get diagnostics found_rows = row_count;
      remaining := remaining - found_rows;
    end if;
  end loop;
end $$;
comment on function quantumflow.take is
  'Takes up to max messages in the caller''s transaction: COMMIT acknowledges them, ROLLBACK or a lost connection gives them back at once. Needs READ COMMITTED.';

-- ── Failing ────────────────────────────────────────────────────────────────────────────────────────────────────────

-- Moves a message that this transaction took out of the way of the others: into the retry table, which is where fail and
-- reject settle it. Returns its row.
create function quantumflow.set_aside(message_id bigint) returns quantumflow.retry language plpgsql
set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
declare
  r quantumflow.retry;
  hand record;
begin
  for hand in
    select split_part(h, ':', 1)::int as cursor_id, split_part(h, ':', 2)::bigint as seq
      from unnest(string_to_array(rtrim(coalesce(current_setting('quantumflow.in_hand', true), ''), ','), ',')) h
  loop
    select * into r from quantumflow.retry t
     where t.cursor_id = hand.cursor_id and t.msg_id = set_aside.message_id and t.taken_by = pg_current_xact_id();
    if found then return r; end if;
    -- The batch lies between the position before and the one after it.
    insert into quantumflow.retry (cursor_id, xid, msg_id, ordering_key, enqueued_at, body, attempts, due_at, taken_by)
    select c.cursor_id, m.xid, m.msg_id, m.body::jsonb #>> q.ordering_key, m.enqueued_at, m.body, 0, clock_timestamp(),
           pg_current_xact_id()
      from quantumflow.cursor c
      join quantumflow.stream s using (stream_id) join quantumflow.queue q using (queue_id)
      join quantumflow.cursor_position before on before.cursor_id = c.cursor_id and before.seq = hand.seq
      join quantumflow.cursor_position after on after.cursor_id = c.cursor_id and after.seq = hand.seq + 1
      join quantumflow.message m on m.stream_id = c.stream_id and m.msg_id = set_aside.message_id
       and m.xid >= coalesce(before.pos_xid, pg_snapshot_xmin(before.done))
       and m.xid <= coalesce(after.pos_xid, pg_snapshot_xmax(after.done))
     where c.cursor_id = hand.cursor_id
    returning * into r;
    if found then return r; end if;
  end loop;
  raise exception 'message_id: message % was not taken in this transaction', message_id
    using errcode = 'invalid_parameter_value';
end $$;

create function quantumflow.bury(r quantumflow.retry, reason text, errors jsonb) returns void language sql as $$
  delete from quantumflow.retry t where t.cursor_id = r.cursor_id and t.xid = r.xid and t.msg_id = r.msg_id;
  insert into quantumflow.dead_letter (cursor_id, xid, msg_id, ordering_key, enqueued_at, body, attempts, reason, errors)
  values (r.cursor_id, r.xid, r.msg_id, r.ordering_key, r.enqueued_at, r.body, r.attempts + 1, bury.reason, bury.errors);
$$;

-- delay × 2^(failures before this one), up to 20 % jitter, at most 60 s.
create function quantumflow.backoff(delay_ms int, failures int) returns interval language sql volatile as $$
  select least(delay_ms * power(2, least(failures, 16)) * (1 + random() * 0.2), 60000) * interval '1 millisecond'
$$;

-- `max_retries` and `retry_delay_ms` stand in for the queue's own where given.
create function quantumflow.fail(message_id bigint, error text, max_retries int default null,
                                 retry_delay_ms int default null) returns void language plpgsql as $$
declare
  r quantumflow.retry := quantumflow.set_aside(message_id);
  q quantumflow.queue;
  history jsonb := r.errors || jsonb_build_array(jsonb_build_object(
    'at', to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
    'error', left(coalesce(error, 'unknown'), 4000)));
begin
  select t.* into q from quantumflow.cursor c join quantumflow.stream s using (stream_id)
    join quantumflow.queue t using (queue_id) where c.cursor_id = r.cursor_id;
  if r.attempts >= coalesce(max_retries, q.max_retries) then
    perform quantumflow.bury(r, 'retries_exhausted', history);
    return;
  end if;
  update quantumflow.retry t
     set attempts = r.attempts + 1, errors = history, taken_by = null,
         due_at = clock_timestamp() + quantumflow.backoff(coalesce(fail.retry_delay_ms, q.retry_delay_ms), r.attempts)
   where t.cursor_id = r.cursor_id and t.xid = r.xid and t.msg_id = r.msg_id;
end $$;
comment on function quantumflow.fail(bigint, text, int, int) is
  'Says that a message taken in this transaction failed: it is retried with backoff, and dead-lettered after the last attempt.';

create function quantumflow.reject(message_id bigint, error text) returns void language plpgsql as $$
declare r quantumflow.retry := quantumflow.set_aside(message_id);
begin
  perform quantumflow.bury(r, 'rejected', r.errors || jsonb_build_array(jsonb_build_object(
    'at', to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
    'error', left(coalesce(error, 'unknown'), 4000))));
end $$;
comment on function quantumflow.reject is
  'Says that a message taken in this transaction can never be handled: it goes to the dead-letter queue at once.';

-- ── Inspection ─────────────────────────────────────────────────────────────────────────────────────────────────────

-- Every (stream, group) pair, and the streams of shared queues that nobody reads yet (cursor_id is null).
create view quantumflow.position as
  select q.name as queue_name, s.stream_id, s.recipient, s.lane, c.cursor_id, c.consumer_group,
         coalesce(p.done, quantumflow.beginning()) as done, p.win, p.pos_xid, p.pos_id, coalesce(p.taken, 0) as taken
    from quantumflow.queue q join quantumflow.stream s using (queue_id)
    left join quantumflow.cursor c using (stream_id)
    left join lateral (select * from quantumflow.cursor_position t
                        where t.cursor_id = c.cursor_id order by t.cursor_id desc, t.seq desc limit 1) p on true
   where c.cursor_id is not null or s.lane is not null;

create view quantumflow.unread as
  select v.queue_name, v.stream_id, v.recipient, v.cursor_id, v.consumer_group, m.msg_id, m.xid, m.enqueued_at, m.body
    from quantumflow.position v join quantumflow.message m
      on m.stream_id = v.stream_id and m.xid >= pg_snapshot_xmin(v.done)
   where not pg_visible_in_snapshot(m.xid, v.done)
     and (v.win is null or not pg_visible_in_snapshot(m.xid, v.win) or (m.xid, m.msg_id) > (v.pos_xid, v.pos_id));

create function quantumflow.list_queues()
returns table (queue_name text, audience text, pending bigint, oldest_age_seconds double precision, retrying bigint,
               dlq bigint, published_total bigint, consumed_total bigint, purged_total bigint, readers bigint)
language sql stable as $$
  with log as (
    select v.queue_name, count(*) as pending, min(v.enqueued_at) as oldest from quantumflow.unread v group by 1),
  waiting as (
    select v.queue_name, count(*) as retrying, min(t.enqueued_at) as oldest
      from quantumflow.retry t join quantumflow.reader v using (cursor_id) where t.taken_by is null group by 1),
  dead as (
    select v.queue_name, count(*) as dlq from quantumflow.dead_letter t join quantumflow.reader v using (cursor_id) group by 1),
  purged as (
    select v.queue_name, count(*) as n from quantumflow.operator_action t join quantumflow.reader v using (cursor_id)
     where t.action = 'purge' group by 1),
  taken as (
    select v.queue_name, sum(v.taken)::bigint as taken, count(distinct v.consumer_group) as readers
      from quantumflow.position v group by 1),
  published as (
    select q.name as queue_name,
           sum(s.truncated_total + (select count(*) from quantumflow.message m where m.stream_id = s.stream_id))::bigint as n
      from quantumflow.queue q join quantumflow.stream s using (queue_id) group by 1)
  select q.name, q.audience, coalesce(log.pending, 0),
         coalesce(extract(epoch from clock_timestamp() - least(log.oldest, waiting.oldest)), 0)::double precision,
         coalesce(waiting.retrying, 0), coalesce(dead.dlq, 0), coalesce(published.n, 0),
         coalesce(taken.taken, 0) - coalesce(waiting.retrying, 0) - coalesce(dead.dlq, 0) - coalesce(purged.n, 0),
         coalesce(purged.n, 0), coalesce(taken.readers, 0)
    from quantumflow.queue q
    left join log on log.queue_name = q.name left join waiting on waiting.queue_name = q.name
    left join dead on dead.queue_name = q.name left join purged on purged.queue_name = q.name
    left join taken on taken.queue_name = q.name left join published on published.queue_name = q.name
   order by q.name
$$;
comment on function quantumflow.list_queues is
  'Every queue with its depth and totals. For each reader: published = pending + retrying + dlq + consumed + purged.';

create function quantumflow.get_queue_stats(queue text)
returns table (queue_name text, audience text, pending bigint, oldest_age_seconds double precision, retrying bigint,
               dlq bigint, published_total bigint, consumed_total bigint, purged_total bigint, readers bigint)
language plpgsql stable as $$
begin
  perform quantumflow.find_queue(queue);
  return query select * from quantumflow.list_queues() l where l.queue_name = get_queue_stats.queue;
end $$;

create function quantumflow.list_pending_messages(queue text, max int default 100)
returns table (message_id bigint, payload jsonb, enqueued_at timestamptz, attempts int, recipient text,
               consumer_group text, state text, due_at timestamptz) language plpgsql stable as $$
begin
  perform quantumflow.find_queue(queue);
  return query
    select * from (
      select u.msg_id, u.body::jsonb, u.enqueued_at, 0, u.recipient, u.consumer_group, 'pending', null::timestamptz
        from quantumflow.unread u where u.queue_name = list_pending_messages.queue
      union all
      select t.msg_id, t.body::jsonb, t.enqueued_at, t.attempts, v.recipient, v.consumer_group, 'retrying',
             nullif(t.due_at, '-infinity')
        from quantumflow.retry t join quantumflow.reader v using (cursor_id)
       where v.queue_name = list_pending_messages.queue and t.taken_by is null) waiting
     order by 3, 1 limit list_pending_messages.max;
end $$;

create function quantumflow.list_dlq_messages(queue text default null, max int default 100)
returns table (id bigint, queue_name text, message_id bigint, payload jsonb, reason text, error text, attempts int,
               errors jsonb, enqueued_at timestamptz, dead_at timestamptz, recipient text, consumer_group text)
language plpgsql stable as $$
begin
  if queue is not null then perform quantumflow.find_queue(queue); end if;
  return query
    select d.id, v.queue_name, d.msg_id, d.body::jsonb, d.reason, d.errors -> -1 ->> 'error', d.attempts, d.errors,
           d.enqueued_at, d.dead_at, v.recipient, v.consumer_group
      from quantumflow.dead_letter d join quantumflow.reader v using (cursor_id)
     where list_dlq_messages.queue is null or v.queue_name = list_dlq_messages.queue
     order by d.dead_at desc, d.id desc limit list_dlq_messages.max;
end $$;

create function quantumflow.retry_dlq_message(id bigint) returns bigint language plpgsql as $$
declare retried bigint;
begin
  with back as (delete from quantumflow.dead_letter d where d.id = retry_dlq_message.id or d.msg_id = retry_dlq_message.id
                returning d.*),
  again as (
    insert into quantumflow.retry (cursor_id, xid, msg_id, ordering_key, enqueued_at, body, attempts, due_at, errors)
    select b.cursor_id, b.xid, b.msg_id, b.ordering_key, b.enqueued_at, b.body, 0, clock_timestamp(), b.errors from back b
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

-- ── Maintenance ────────────────────────────────────────────────────────────────────────────────────────────────────

-- Deletes positions that newer ones have replaced, and retries whose taker committed. Needs no cursor lock: a taker that
-- still runs is not visible here, and the position it started from is the newest that is.
create function quantumflow.trim_positions() returns bigint language plpgsql as $$
declare
  c record;
  trimmed bigint := 0;
  n bigint;
begin
  for c in select p.cursor_id, max(p.seq) as newest from quantumflow.cursor_position p
            group by p.cursor_id having count(*) > 1
  loop
    delete from quantumflow.cursor_position p where p.cursor_id = c.cursor_id and p.seq < c.newest;
    get diagnostics n = row_count;
    trimmed := trimmed + n;
  end loop;
  delete from quantumflow.retry r where r.taken_by is not null and r.taken_by <> coalesce(pg_current_xact_id_if_assigned(), '0');
  return trimmed;
end $$;

-- ── The ten queues ─────────────────────────────────────────────────────────────────────────────────────────────────

select quantumflow.declare_queue('proposals_for_consensus_queue', 'lanes', '{proposal_id}', 8, 'centralcloud');
select quantumflow.declare_queue('votes_for_consensus_queue', 'lanes', '{proposal_id}', 8, 'centralcloud');
select quantumflow.declare_queue('metrics_to_guardian_queue', 'lanes', '{proposal_id}', 8, 'centralcloud');
select quantumflow.declare_queue('patterns_for_aggregator_queue', 'lanes', '{code_pattern,after}', 1, 'centralcloud');
select quantumflow.declare_queue('voting_requests_queue', 'broadcast', '{proposal_id}');
select quantumflow.declare_queue('consensus_results_queue', 'directed', '{proposal_id}');
select quantumflow.declare_queue('rollback_triggers_queue', 'directed', '{proposal_id}');
select quantumflow.declare_queue('guardian_safety_profiles_queue', 'directed_or_broadcast', '{agent_type}');
select quantumflow.declare_queue('consensus_patterns_queue', 'broadcast', '{pattern_id}');
select quantumflow.declare_queue('learning_loop_completed_queue', 'lanes', '{timestamp}', 1);
