-- Subscribing, sleeping until there is work, and taking it.

-- ── Subscribing and taking ─────────────────────────────────────────────────────────────────────────────────────────

-- The group that holds the place of the first one on a stream that nobody reads yet, once rotation had to keep some of it.
create function quantumflow.unclaimed() returns text language sql immutable parallel safe as $$ select '(unclaimed)' $$;

-- A retired cursor starts again, from now on.
create function quantumflow.revive_cursor(cursor_id int) returns void language sql as $$
  update quantumflow.cursor c set retired_at = null where c.cursor_id = revive_cursor.cursor_id;
  insert into quantumflow.cursor_position (cursor_id, seq, done, backlog_put, backlog_taken, taken)
  select p.cursor_id, p.seq + 1, pg_current_snapshot(), p.backlog_put, p.backlog_taken, p.taken
    from quantumflow.cursor_position p
   where p.cursor_id = revive_cursor.cursor_id order by p.seq desc limit 1;
$$;

create function quantumflow.subscribe(queue text, consumer_group text) returns void language plpgsql as $$
declare
  q quantumflow.queue := quantumflow.find_queue(queue);
  s quantumflow.stream;
  has_readers boolean;
begin
  perform quantumflow.check_reader(queue, consumer_group);
  if coalesce(length(consumer_group), 0) not between 1 and 200 then
    raise exception 'consumer_group: expected 1 to 200 characters' using errcode = 'invalid_parameter_value';
  end if;
  if q.audience in ('directed', 'directed_or_broadcast') then
    perform quantumflow.find_or_add_stream(q, consumer_group, null);
  end if;
  for s in select * from quantumflow.stream t
            where t.queue_id = q.queue_id and t.recipient is null order by t.stream_id for update
  loop
    -- What rotation kept of a stream that nobody read goes to the first group.
    update quantumflow.cursor c set consumer_group = subscribe.consumer_group
     where c.stream_id = s.stream_id and c.consumer_group = quantumflow.unclaimed();
    has_readers := s.lane is null or exists (select from quantumflow.cursor c where c.stream_id = s.stream_id);
    perform quantumflow.add_cursor(s.stream_id, consumer_group,
      case when has_readers then pg_current_snapshot() else quantumflow.beginning() end);
    perform quantumflow.revive_cursor(c.cursor_id) from quantumflow.cursor c
      where c.stream_id = s.stream_id and c.consumer_group = subscribe.consumer_group and c.retired_at is not null;
  end loop;
end $$;
comment on function quantumflow.subscribe is
  'Makes the group a reader of the queue, from now on; safe to repeat. The first group of a queue that nobody read yet gets all that waits. An instance subscribes with its own name: it reads what is addressed to it and what goes to everyone.';

-- The cursors of one group on one queue.
create view quantumflow.reader as
  select q.name as queue_name, q.queue_id, s.stream_id, s.recipient, s.lane, s.wake_id, c.cursor_id, c.consumer_group,
         c.retired_at
    from quantumflow.cursor c join quantumflow.stream s using (stream_id) join quantumflow.queue q using (queue_id);

-- Is there a message in the log or in the backlog for this cursor? Takes no lock and no xid. In plpgsql, so that its plan
-- is kept: an SQL function with a sub-select is not inlined, and planned anew in each call.
create function quantumflow.has_new(cursor_id int, stream_id int) returns boolean language plpgsql stable as $$
declare c record;
begin
  select p.done, p.win, p.backlog_put > p.backlog_taken as has_backlog into c from quantumflow.cursor_position p
   where p.cursor_id = has_new.cursor_id order by p.cursor_id desc, p.seq desc limit 1;
  return c.win is not null or c.has_backlog
    or exists (select from quantumflow.message m
                where m.stream_id = has_new.stream_id and m.xid >= pg_snapshot_xmax(c.done))
    or (pg_snapshot_xmin(c.done) < pg_snapshot_xmax(c.done)
        and exists (select from quantumflow.message m
                     where m.stream_id = has_new.stream_id and m.xid = any (array(select pg_snapshot_xip(c.done)))));
end $$;

-- Does anything wait in the retry table? Nearly always no, which spares the question when it is due.
create function quantumflow.has_retries(cursor_id int) returns boolean language plpgsql stable as $$
begin
  return exists (select from quantumflow.retry r where r.cursor_id = has_retries.cursor_id and r.taken_by is null);
end $$;

-- When the next retry of the cursor is due; null when none waits. Only the oldest of an ordering key can be due.
create function quantumflow.next_retry_at(cursor_id int) returns timestamptz language sql stable as $$
  select min(due_at) from (
    select distinct on (coalesce(r.ordering_key, r.msg_id::text)) r.due_at
      from quantumflow.retry r where r.cursor_id = next_retry_at.cursor_id and r.taken_by is null
     order by coalesce(r.ordering_key, r.msg_id::text), r.xid, r.msg_id) heads
$$;

-- Milliseconds until the group has something to take on the queue: 0 now, null when only a publish can bring it.
create function quantumflow.next_work_ms(queue text, consumer_group text) returns bigint language plpgsql stable
set enable_seqscan = off set enable_bitmapscan = off set jit = off set plan_cache_mode = force_generic_plan as $$
begin
  perform quantumflow.check_reader(queue, consumer_group);
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
  perform quantumflow.check_reader(queue, consumer_group);
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
  perform quantumflow.check_reader(queue, consumer_group);
  perform pg_advisory_unlock(quantumflow.wake_lock_class(), ids.wake_id)
     from (select distinct r.wake_id from quantumflow.reader r
            where r.queue_name = get_up.queue and r.consumer_group = get_up.consumer_group
              and (r.lane is not null or r.recipient is not null)) ids;
end $$;

create type quantumflow.delivery as (
  message_id bigint, body text, enqueued_at timestamptz, attempts int, cursor_id int);

-- Takes what is due of the cursor's retries, in order: of each ordering key the first ones, up to one that is not due yet.
create function quantumflow.take_due_retries(cursor_id int, max int) returns setof quantumflow.delivery
language plpgsql as $$
begin
  -- Rows taken by a committed transaction are done with (those of a running or aborted one do not look taken to us).
  delete from quantumflow.retry r
   where r.cursor_id = take_due_retries.cursor_id and r.taken_by is not null and r.taken_by <> pg_current_xact_id();
  return query
    with turns as (
      select r.xid, r.msg_id, r.taken_by, max(r.due_at) over (partition by coalesce(r.ordering_key, r.msg_id::text)
                                                              order by r.xid, r.msg_id) as turn_at
        from quantumflow.retry r where r.cursor_id = take_due_retries.cursor_id),
    due as (select t.xid, t.msg_id from turns t where t.turn_at <= clock_timestamp() and t.taken_by is null
             order by t.xid, t.msg_id limit take_due_retries.max),
    taken as (
      update quantumflow.retry r set taken_by = pg_current_xact_id() from due
       where r.cursor_id = take_due_retries.cursor_id and r.xid = due.xid and r.msg_id = due.msg_id
      returning r.*)
    select t.msg_id, t.body, t.enqueued_at, t.attempts, t.cursor_id from taken t order by t.xid, t.msg_id;
end $$;

-- ── Reading the log ────────────────────────────────────────────────────────────────────────────────────────────────

create type quantumflow.bounds as (
  after_xid xid8, after_id bigint,  -- the last message taken from the window
  lower_xid xid8, lower_id bigint,  -- the log is read on from here
  late_xids xid8[]);                -- and these, which were in progress at `done` and have committed since

create function quantumflow.bounds_of(c quantumflow.cursor_position, win pg_snapshot) returns quantumflow.bounds
language plpgsql stable as $$
declare b quantumflow.bounds;
begin
  b.after_xid := coalesce(c.pos_xid, '0');
  b.after_id := coalesce(c.pos_id, 0);
  b.lower_xid := b.after_xid;
  b.lower_id := b.after_id;
  b.late_xids := '{}';
  if b.lower_xid < pg_snapshot_xmax(c.done) then
    b.lower_xid := pg_snapshot_xmax(c.done);
    b.lower_id := 0;
    b.late_xids := array(select x from pg_snapshot_xip(c.done) x where x >= b.after_xid and pg_visible_in_snapshot(x, win));
  end if;
  return b;
end $$;

-- What is visible in `win` and not yet taken. Inlined into its callers, which pin the index scans; so one lower bound only:
-- with "xid >= a" and "(xid, msg_id) > (b, c)" together the btree scan would start at the lower of the two, the oldest
-- row kept.
create function quantumflow.read_log(stream_id int, b quantumflow.bounds, win pg_snapshot, max int)
returns table (xid xid8, msg_id bigint, enqueued_at timestamptz, body text) language sql stable as $$
  select both_parts.* from (
    (select m.* from unnest((b).late_xids) late cross join lateral (
       select l.xid, l.msg_id, l.enqueued_at, l.body from quantumflow.message l
        where l.stream_id = read_log.stream_id and l.xid = late and (l.xid, l.msg_id) > ((b).after_xid, (b).after_id)
        order by l.xid, l.msg_id limit read_log.max) m)
    union all
    (select m.xid, m.msg_id, m.enqueued_at, m.body from quantumflow.message m
      where m.stream_id = read_log.stream_id and (m.xid, m.msg_id) > ((b).lower_xid, (b).lower_id)
        and m.xid < pg_snapshot_xmax(win) and pg_visible_in_snapshot(m.xid, win)
      order by m.xid, m.msg_id limit read_log.max)) both_parts
   order by 1, 2 limit read_log.max
$$;

-- Which part of its window a cursor reads next, in this order; a batch is of one part, so that it needs no sorting.
-- backlog: what was copied before a segment was cut; late: transactions that were in progress at `done`; log: the rest.
create function quantumflow.next_part(c quantumflow.cursor_position, b quantumflow.bounds, stream_id int) returns text
language plpgsql stable as $$
begin
  if c.backlog_put > c.backlog_taken then return 'backlog'; end if;
  if cardinality(b.late_xids) > 0
     and exists (select from unnest(b.late_xids) late, quantumflow.message l
                  where l.stream_id = next_part.stream_id and l.xid = late and (l.xid, l.msg_id) > (b.after_xid, b.after_id)) then
    return 'late';
  end if;
  return 'log';
end $$;

-- Locks a cursor of the group that has work and is free, and is none of `tried`, until the transaction ends; its newest
-- position, or null.
create function quantumflow.lock_cursor(queue text, consumer_group text, only_cursor int, tried int[])
returns quantumflow.cursor_position
language plpgsql as $$
declare
  r record;
  c quantumflow.cursor_position;
begin
  for r in select v.cursor_id from quantumflow.reader v
            where v.queue_name = lock_cursor.queue and v.consumer_group = lock_cursor.consumer_group
              and (lock_cursor.only_cursor is null or v.cursor_id = lock_cursor.only_cursor)
              and v.cursor_id <> all (lock_cursor.tried)
              and (quantumflow.has_new(v.cursor_id, v.stream_id)
                   or (quantumflow.has_retries(v.cursor_id)
                       and quantumflow.next_retry_at(v.cursor_id) <= clock_timestamp()))
            order by random()
  loop
    continue when not pg_try_advisory_xact_lock(quantumflow.cursor_lock_class(), r.cursor_id);
    -- Its work may have been taken between the look and the lock.
    select * into c from quantumflow.cursor_position p
     where p.cursor_id = r.cursor_id order by p.cursor_id desc, p.seq desc limit 1;
    return c;
  end loop;
  return null;
end $$;

-- The batch of one lane that has work and is free: what a worker of a daemon takes. `only_cursor` takes from that one.
-- Order: due retries, the backlog, the log. One function, since every further one would copy the batch once more.
create function quantumflow.take_lane(queue text, consumer_group text, max int, only_cursor int default null)
returns setof quantumflow.delivery language plpgsql
set enable_seqscan = off set enable_bitmapscan = off set jit = off set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
declare
  c quantumflow.cursor_position;
  of_stream int;
  win pg_snapshot;
  b quantumflow.bounds;
  part text;
  waiting_keys text[];
  key_path text[];
  wanted int;
  tried int[] := '{}';
begin
  perform quantumflow.check_take(queue, consumer_group, max);
  loop
    c := quantumflow.lock_cursor(queue, consumer_group, only_cursor, tried);
    if c.cursor_id is null then return; end if;
    tried := tried || c.cursor_id;
    wanted := max;
    waiting_keys := null;
    perform set_config('quantumflow.in_hand',
      coalesce(current_setting('quantumflow.in_hand', true), '') || c.cursor_id || ':' || c.seq || ',', true);
    if exists (select from quantumflow.retry r where r.cursor_id = c.cursor_id) then
      return query select * from quantumflow.take_due_retries(c.cursor_id, max);
      get diagnostics wanted = row_count;
      wanted := max - wanted;
      if wanted <= 0 then return; end if;
      -- Of a key whose retries are all in this batch, what follows may be in it, too.
      waiting_keys := array(select distinct r.ordering_key from quantumflow.retry r
                             where r.cursor_id = c.cursor_id and r.ordering_key is not null and r.taken_by is null);
    end if;
    select v.stream_id, q.ordering_key into of_stream, key_path
      from quantumflow.reader v join quantumflow.queue q using (queue_id) where v.cursor_id = c.cursor_id;
    win := coalesce(c.win, quantumflow.snapshot_without_own());
    b := quantumflow.bounds_of(c, win);
    part := quantumflow.next_part(c, b, of_stream);
    return query
      with batch as materialized (  -- each part comes in order, and two of the three are empty
        (select k.seq, k.xid, k.msg_id, k.enqueued_at, k.body from quantumflow.backlog k
          where part = 'backlog' and k.cursor_id = c.cursor_id and k.seq > c.backlog_taken
          order by k.cursor_id, k.seq limit wanted)
        union all
        (select null, l.xid, l.msg_id, l.enqueued_at, l.body from unnest(b.late_xids) late, quantumflow.message l
          where part = 'late' and l.stream_id = of_stream and l.xid = late and (l.xid, l.msg_id) > (b.after_xid, b.after_id)
          order by l.xid, l.msg_id limit wanted)
        union all
        -- One lower bound only: with "xid >= a" and "(xid, msg_id) > (b, c)" together the btree scan would start at the lower
        -- of the two, the oldest row kept.
        (select null, m.xid, m.msg_id, m.enqueued_at, m.body from quantumflow.message m
          where part = 'log' and m.stream_id = of_stream and (m.xid, m.msg_id) > (b.lower_xid, b.lower_id)
            and m.xid < pg_snapshot_xmax(win) and pg_visible_in_snapshot(m.xid, win)
          order by m.xid, m.msg_id limit wanted)),
      ends as (select count(*) as n, max(t.seq) as seq, max(t.xid) as xid from batch t),
      last as (select e.*, (select max(t.msg_id) from batch t where t.xid = e.xid) as msg_id,
                      part = 'late' or e.n = wanted as goes_on from ends e),
      moved as (
        insert into quantumflow.cursor_position (cursor_id, seq, done, win, pos_xid, pos_id, backlog_put, backlog_taken, taken)
        select c.cursor_id, c.seq + 1,
               case when part = 'backlog' or l.goes_on then c.done else win end,
               case when part = 'backlog' then c.win when l.goes_on then win end,
               case when part = 'backlog' then c.pos_xid when l.goes_on then l.xid end,
               case when part = 'backlog' then c.pos_id when l.goes_on then l.msg_id end,
               c.backlog_put, coalesce(l.seq, c.backlog_taken), c.taken + l.n
          from last l where l.n > 0 or c.win is not null),
      -- Behind a message of the same key that waits for its retry, this one waits too.
      parked as (
        insert into quantumflow.retry (cursor_id, xid, msg_id, ordering_key, enqueued_at, body, attempts, due_at)
        select c.cursor_id, t.xid, t.msg_id, t.body::jsonb #>> key_path, t.enqueued_at, t.body, 0, '-infinity'
          from batch t where cardinality(waiting_keys) > 0 and t.body::jsonb #>> key_path = any (waiting_keys)
        returning msg_id)
      select t.msg_id, t.body, t.enqueued_at, 0, c.cursor_id from batch t
       where coalesce(cardinality(waiting_keys), 0) = 0 or t.msg_id not in (select p.msg_id from parked p);
    -- A window may have nothing left; then it is closed now, and another lane's turn.
    exit when found or wanted < max;
  end loop;
end $$;

-- The newest position must be seen: under a snapshot kept for the whole transaction a batch could be taken twice.
create function quantumflow.check_isolation(caller text) returns void language plpgsql as $$
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception '%: needs READ COMMITTED, this transaction is %', caller, upper(current_setting('transaction_isolation'))
      using errcode = 'invalid_transaction_state';
  end if;
end $$;

create function quantumflow.check_take(queue text, consumer_group text, max int) returns void language plpgsql as $$
declare has_retired boolean;
begin
  perform quantumflow.check_reader(queue, consumer_group);
  perform quantumflow.check_isolation('take');
  if max is null or max not between 1 and 10000 then
    raise exception 'max: expected 1 to 10000' using errcode = 'invalid_parameter_value';
  end if;
  select bool_or(r.retired_at is not null) into has_retired from quantumflow.reader r
   where r.queue_name = check_take.queue and r.consumer_group = check_take.consumer_group;
  if has_retired is null then
    perform quantumflow.find_queue(queue);
    raise exception 'consumer_group: "%" is not subscribed to queue "%"', left(consumer_group, 100), queue
      using errcode = 'undefined_object', hint = 'call quantumflow.subscribe(queue, consumer_group) once';
  elsif has_retired then
    perform quantumflow.subscribe(queue, consumer_group);  -- it is back: from now on
  end if;
end $$;

create function quantumflow.take(queue text, consumer_group text, max int default 100)
returns table (message_id bigint, payload jsonb, enqueued_at timestamptz, attempts int) language plpgsql as $$
#variable_conflict use_column
declare
  cursor int;
  remaining int := max;
  found_rows int;
begin
  perform quantumflow.check_take(queue, consumer_group, max);
  for cursor in select v.cursor_id from quantumflow.reader v
                 where v.queue_name = take.queue and v.consumer_group = take.consumer_group order by random()
  loop
    return query select d.message_id, d.body::jsonb, d.enqueued_at, d.attempts
                   from quantumflow.take_lane(queue, consumer_group, remaining, cursor) d;
    get diagnostics found_rows = row_count;
    remaining := remaining - found_rows;
    exit when remaining <= 0;
  end loop;
end $$;
comment on function quantumflow.take is
  'Takes up to max messages in the caller''s transaction: COMMIT acknowledges them, ROLLBACK or a lost connection gives them back at once. Needs READ COMMITTED.';
