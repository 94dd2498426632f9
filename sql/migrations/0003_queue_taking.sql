-- Subscribing, sleeping until there is work, and taking it.

-- ── Subscribing and taking ─────────────────────────────────────────────────────────────────────────────────────────

-- The group that holds the place of the first one on a stream that nobody reads yet, once rotation had to keep some of it.
create function quantumflow.unclaimed() returns text language sql immutable parallel safe as $$ select '(unclaimed)' $$;

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
    perform quantumflow.add_cursor(s.stream_id, consumer_group, not has_readers);
    perform quantumflow.skip_to_now(c.cursor_id) from quantumflow.cursor c  -- a retired one starts again
      where c.stream_id = s.stream_id and c.consumer_group = subscribe.consumer_group and c.retired_at is not null;
  end loop;
end $$;
comment on function quantumflow.subscribe is
  'Makes the group a reader of the queue, from now on; safe to repeat. The first group of a queue that nobody read yet gets all that waits. An instance subscribes with its own name: it reads what is addressed to it and what goes to everyone.';

-- The cursors of one group on one queue.
create view quantumflow.reader as
  select q.name as queue_name, q.queue_id, q.ordering_key, s.stream_id, s.recipient, s.lane, s.wake_id, c.cursor_id, c.consumer_group,
         c.retired_at
    from quantumflow.cursor c join quantumflow.stream s using (stream_id) join quantumflow.queue q on q.queue_id = c.queue_id;

-- What each reader has to take. A view, so that one look at all lanes of a group is one plan, and that is kept; in functions
-- that pin the index scans. Takes no lock and no xid.
create view quantumflow.work as
  select v.*,
         p.win is not null or p.backlog_put > p.backlog_taken
           or exists (select from quantumflow.message m where m.stream_id = v.stream_id and m.xid >= pg_snapshot_xmax(p.done))
           or (pg_snapshot_xmin(p.done) < pg_snapshot_xmax(p.done)
               and exists (select from quantumflow.message m
                            where m.stream_id = v.stream_id and m.xid = any (array(select pg_snapshot_xip(p.done)))))
           as has_new,
         -- With "exists" a plan may read everybody's.
         coalesce(
           (select true from quantumflow.retry r where r.cursor_id = v.cursor_id and r.taken_by is null and r.due_at is not null limit 1),
           (select true from quantumflow.retry r where r.cursor_id = v.cursor_id and r.taken_by is null and r.due_at is null limit 1),
           false) as has_retries,
         p.taken_at
    from quantumflow.reader v
    cross join lateral (select t.done, t.win, t.backlog_put, t.backlog_taken, t.taken_at from quantumflow.cursor_position t
                         where t.cursor_id = v.cursor_id order by t.cursor_id desc, t.seq desc limit 1) p;

-- The first ones of their keys that were parked: what they waited behind was taken, and they were not. Found by leaps from key to key,
-- of those with something parked. This and failed_heads are inlined into their callers, which pin the index scans. "Not taken" is
-- said so that only the index of keys fits. A subquery with a limit stays one: as a join it would read all that wait.
create function quantumflow.parked_heads(cursor_id int) returns table (spot tid, ordering_key text) language sql stable as $$
  with recursive leap (key) as (
    (select r.ordering_key from quantumflow.retry r
      where r.cursor_id = parked_heads.cursor_id and r.taken_by is null and r.due_at is null
      order by r.cursor_id, r.ordering_key limit 1)
    union all
    select (select r.ordering_key from quantumflow.retry r
             where r.cursor_id = parked_heads.cursor_id and r.taken_by is null and r.due_at is null and r.ordering_key > l.key
             order by r.cursor_id, r.ordering_key limit 1)
      from leap l where l.key is not null)
  select first.spot, l.key from leap l cross join lateral (
      select e.ctid as spot, e.due_at from quantumflow.retry e
       where e.cursor_id = parked_heads.cursor_id and e.ordering_key = l.key and coalesce(e.taken_by, '0') = '0'
       order by e.cursor_id, e.ordering_key, e.place limit 1) first
   where first.due_at is null
$$;

-- The first ones of their keys that have failed, and what has no key: the one that is due first is first.
create function quantumflow.failed_heads(cursor_id int) returns table (spot tid, ordering_key text, due_at timestamptz)
language sql stable as $$
  select r.ctid, r.ordering_key, r.due_at from quantumflow.retry r
   where r.cursor_id = failed_heads.cursor_id and r.taken_by is null and r.due_at is not null
     and (select e.msg_id from quantumflow.retry e
           where e.cursor_id = failed_heads.cursor_id and e.ordering_key = r.ordering_key and e.place < r.place
             and coalesce(e.taken_by, '0') = '0' limit 1) is null
   order by r.cursor_id, r.due_at
$$;

-- When the next retry of the cursor is due; null when none waits. Only the first of an ordering key can be due.
create function quantumflow.next_retry_at(cursor_id int) returns timestamptz language plpgsql stable
set enable_seqscan = off set enable_bitmapscan = off set jit = off set plan_cache_mode = force_generic_plan as $$
begin
  if exists (select from quantumflow.parked_heads(next_retry_at.cursor_id)) then return now(); end if;
  return (select h.due_at from quantumflow.failed_heads(next_retry_at.cursor_id) h limit 1);
end $$;

-- Milliseconds until the group has something to take on the queue: 0 now, null when only a publish can bring it.
create function quantumflow.next_work_ms(queue text, consumer_group text) returns bigint language plpgsql stable
set enable_seqscan = off set enable_bitmapscan = off set jit = off set plan_cache_mode = force_generic_plan as $$
begin
  perform quantumflow.check_reader(queue, consumer_group);
  return (
  select min(case when w.has_new then 0
                  -- greatest() ignores null: without the test, "no retry" would read as "now"
                  when w.has_retries
                  then greatest(0, ceil(extract(epoch from quantumflow.next_retry_at(w.cursor_id)
                                                           - clock_timestamp()) * 1000))::bigint end)
    from quantumflow.work w
   where w.queue_name = next_work_ms.queue and w.consumer_group = next_work_ms.consumer_group);
end $$;

-- Raises a flag on which publishers are under way: waits for their commits, which are microseconds away unless one of them holds
-- a transaction open. Whoever wants to publish meanwhile finds a waiter and notifies. False after 10 ms; those who took the
-- waiter for a sleeper are told to look for themselves.
create function quantumflow.await_publishers(wake_id int) returns boolean language plpgsql set lock_timeout = '10ms' as $$
begin
  perform pg_advisory_lock(quantumflow.wake_lock_class(), wake_id);
  return true;
exception when lock_not_available then
  perform pg_notify(quantumflow.wake_channel(wake_id), '');
  return false;
end $$;

-- The group lies down on the queue: raises the flag that makes publishers notify, in the caller's session, then looks once
-- more. flag: "raised", to be lowered with get_up in the same session when nobody of it sleeps any more; "covered": another
-- session has raised it and will get the same notification; "busy": publishers are under way who could still believe that
-- nobody sleeps; look again soon. patient: await them first, if it takes no longer than 10 ms.
create function quantumflow.lie_down(queue text, consumer_group text, patient boolean, out flag text, out work_ms bigint)
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
      if patient and flag = 'raised' and quantumflow.await_publishers(id) then held := held || id; else flag := 'busy'; end if;
    elsif flag = 'raised' then
      flag := 'covered';
    end if;
  end loop;
  if flag <> 'raised' then
    foreach id in array held loop perform pg_advisory_unlock(quantumflow.wake_lock_class(), id); end loop;
  end if;
  begin
    work_ms := quantumflow.next_work_ms(queue, consumer_group);
  exception when query_canceled or others then  -- the session's locks outlive the statement
    if flag = 'raised' then
      foreach id in array held loop perform pg_advisory_unlock(quantumflow.wake_lock_class(), id); end loop;
    end if;
    raise;
  end;
end $$;

create function quantumflow.get_up(queue text, consumer_group text) returns void language plpgsql as $$
begin
  perform quantumflow.check_reader(queue, consumer_group);
  perform pg_advisory_unlock(quantumflow.wake_lock_class(), ids.wake_id)
     from (select distinct r.wake_id from quantumflow.reader r
            where r.queue_name = get_up.queue and r.consumer_group = get_up.consumer_group
              and (r.lane is not null or r.recipient is not null)) ids;
end $$;

-- Every reader whose messages must not be cut, and the part of the log that it has not taken: what lies behind the lower
-- bound, and the transactions that were in progress. A stream of a shared queue that nobody reads yet keeps everything for
-- its first group (cursor_id is null).
create view quantumflow.frontier as
  select s.stream_id, s.queue_id, s.recipient, c.cursor_id, c.consumer_group, p.pos_xid, p.pos_id, p.backlog_taken,
         case when p.pos_xid >= pg_snapshot_xmax(p.done) then p.pos_xid else pg_snapshot_xmax(p.done) end as lower_xid,
         case when p.pos_xid >= pg_snapshot_xmax(p.done) then p.pos_id else 0 end as lower_id,
         array(select x from pg_snapshot_xip(p.done) x where x >= coalesce(p.pos_xid, '0'))
           || array(select pg_snapshot_xip(p.win)) as late_xids
    from quantumflow.stream s join quantumflow.cursor c using (stream_id)
    cross join lateral (
      select t.done, t.win, t.pos_xid, t.pos_id, t.backlog_taken from quantumflow.cursor_position t
       where t.cursor_id = c.cursor_id order by t.cursor_id desc, t.seq desc limit 1) p
   where c.retired_at is null
  union all
  select s.stream_id, s.queue_id, null, null, quantumflow.unclaimed(), null, null, null, '0', 0, '{}'
    from quantumflow.stream s
   where s.lane is not null and not exists (select from quantumflow.cursor c where c.stream_id = s.stream_id);

create type quantumflow.delivery as (
  message_id bigint, body text, enqueued_at timestamptz, attempts int, cursor_id int);

-- Takes what is due of the cursor's retries: of each ordering key the first ones, up to one that is not due yet. Keys with something
-- parked at their head come first, then those whose first one has been due for longest.
create function quantumflow.take_due_retries(cursor_id int, max int) returns setof quantumflow.delivery language plpgsql
set enable_seqscan = off set enable_bitmapscan = off set jit = off set plan_cache_mode = force_generic_plan as $$
-- One moment for all rows: a clock read for each could find the first of a key not due yet and those behind it due.
declare
  asked_at timestamptz := clock_timestamp();
  spots tid[] := '{}';
  heads cursor for
    select p.spot, p.ordering_key from quantumflow.parked_heads(take_due_retries.cursor_id) p
    union all
    select f.spot, f.ordering_key from quantumflow.failed_heads(take_due_retries.cursor_id) f where f.due_at <= asked_at;
  head record;
  follower record;
begin
  -- Rows taken by a committed transaction are done with (those of a running or aborted one do not look taken to us). What
  -- trim_positions() is deleting is not waited for.
  -- (By their places in the table: a join might read all that wait, with a plan from when there were few.)
  delete from quantumflow.retry r
   where r.ctid = any (array(
     select t.ctid from quantumflow.retry t
      where t.cursor_id = take_due_retries.cursor_id and t.taken_by is not null and t.taken_by <> pg_current_xact_id()
        for update skip locked));
  -- One by one, and no further than to `max`: so many may be due that one look at all of them is long. Nobody changes what is not
  -- taken, but who holds the cursor.
  open heads;  -- a loop over the query would ask for ten of them at once, with whatever lies between
  while cardinality(spots) < take_due_retries.max loop
    fetch heads into head;
    exit when not found;
    if head.ordering_key is null then
      spots := spots || head.spot;
    else
      for follower in
        select e.ctid as spot, e.due_at from quantumflow.retry e
         where e.cursor_id = take_due_retries.cursor_id and e.ordering_key = head.ordering_key and coalesce(e.taken_by, '0') = '0'
         order by e.cursor_id, e.ordering_key, e.place limit take_due_retries.max - cardinality(spots)
      loop
        exit when follower.due_at > asked_at;
        spots := spots || follower.spot;
      end loop;
    end if;
  end loop;
  close heads;
  return query
    with taken as (
      update quantumflow.retry r set taken_by = pg_current_xact_id() where r.ctid = any (spots) returning r.*)
    select t.msg_id, t.body, t.enqueued_at, t.attempts, t.cursor_id from taken t order by t.place;
end $$;

-- ── Reading the log ────────────────────────────────────────────────────────────────────────────────────────────────

-- What follows (after_xid, after_id) in the log and is visible in `win`. This and read_late are inlined into their callers,
-- which pin the index scans. One lower bound only: with "xid >= a" and "(xid, msg_id) > (b, c)" together the btree scan
-- would start at the lower of the two, the oldest row kept.
create function quantumflow.read_log(stream_id int, after_xid xid8, after_id bigint, win pg_snapshot, max int)
returns table (xid xid8, msg_id bigint, enqueued_at timestamptz, body text) language sql stable as $$
  select m.xid, m.msg_id, m.enqueued_at, m.body from quantumflow.message m
   where m.stream_id = read_log.stream_id and (m.xid, m.msg_id) > (after_xid, after_id)
     and m.xid < pg_snapshot_xmax(win) and pg_visible_in_snapshot(m.xid, win)
   order by m.xid, m.msg_id limit read_log.max
$$;

-- What transactions wrote that were in progress when the cursor came past them, and have committed since.
create function quantumflow.read_late(stream_id int, late_xids xid8[], after_xid xid8, after_id bigint, max int)
returns table (xid xid8, msg_id bigint, enqueued_at timestamptz, body text) language sql stable as $$
  select m.xid, m.msg_id, m.enqueued_at, m.body from unnest(late_xids) late cross join lateral (
      select l.xid, l.msg_id, l.enqueued_at, l.body from quantumflow.message l
       where l.stream_id = read_late.stream_id and l.xid = late and (l.xid, l.msg_id) > (after_xid, after_id)
       order by l.xid, l.msg_id limit read_late.max) m
   order by 1, 2 limit read_late.max
$$;

-- How a cursor stands to the window that it reads next.
create type quantumflow.bounds as (
  after_xid xid8, after_id bigint,  -- the last message taken from the window
  lower_xid xid8, lower_id bigint,  -- the log is read on from here
  late_xids xid8[]);                -- and these, which were in progress at `done` and have committed since

create function quantumflow.bounds_of(done pg_snapshot, pos_xid xid8, pos_id bigint, win pg_snapshot)
returns quantumflow.bounds language plpgsql stable as $$
declare b quantumflow.bounds := row(coalesce(pos_xid, '0'), coalesce(pos_id, 0), coalesce(pos_xid, '0'), coalesce(pos_id, 0), null);
begin
  if b.lower_xid < pg_snapshot_xmax(done) then
    b.lower_xid := pg_snapshot_xmax(done);
    b.lower_id := 0;
    if pg_snapshot_xmin(done) < pg_snapshot_xmax(done) then
      b.late_xids := array(select x from pg_snapshot_xip(done) x where x >= b.after_xid and pg_visible_in_snapshot(x, win));
    end if;
  end if;
  return b;
end $$;

-- A batch of one part of what a cursor has before it. backlog: what was copied before a segment was cut; late; log.
create function quantumflow.read_part(part text, c quantumflow.cursor_position, stream_id int, b quantumflow.bounds,
                                      win pg_snapshot, max int)
returns table (seq bigint, xid xid8, msg_id bigint, enqueued_at timestamptz, body text) language sql stable as $$
  (select k.seq, k.xid, k.msg_id, k.enqueued_at, k.body from quantumflow.backlog k
    where part = 'backlog' and k.cursor_id = (c).cursor_id and k.seq > (c).backlog_taken
    order by k.cursor_id, k.seq limit read_part.max)
  union all
  select null, l.* from quantumflow.read_late(read_part.stream_id, (b).late_xids, (b).after_xid, (b).after_id, read_part.max) l
   where part = 'late'
  union all
  select null, m.* from quantumflow.read_log(read_part.stream_id, (b).lower_xid, (b).lower_id, win, read_part.max) m
   where part = 'log'
$$;

-- Behind a message of the same key that waits for its retry, later ones wait too: they go from the batch to the retries.
create function quantumflow.park(part text, c quantumflow.cursor_position, stream_id int, b quantumflow.bounds,
                                 win pg_snapshot, max int, key_path text[]) returns bigint[] language plpgsql as $$
declare ids bigint[];
begin
  with arrived as materialized (
    select t.*, quantumflow.payload_of(t.body) #>> key_path as key
      from quantumflow.read_part(part, c, park.stream_id, b, win, park.max) t),
  parked as (
    insert into quantumflow.retry (cursor_id, xid, msg_id, ordering_key, enqueued_at, body, attempts, due_at)
    select c.cursor_id, a.xid, a.msg_id, a.key, a.enqueued_at, a.body, 0, null from arrived a
     where (select w.msg_id from quantumflow.retry w
             where w.cursor_id = c.cursor_id and w.ordering_key = a.key and coalesce(w.taken_by, '0') = '0' limit 1) is not null
     order by a.seq, a.xid, a.msg_id
    returning retry.msg_id)
  select coalesce(array_agg(p.msg_id), '{}') into ids from parked p;
  return ids;
end $$;

-- ── Taking ─────────────────────────────────────────────────────────────────────────────────────────────────────────

-- Ends a take: the cursor's next position, behind the `n` messages that were read. last_xid, last_id: the last of them, where
-- the window may have more. part: as in read_part; `retries`, of which nothing lies before the cursor: only its turn is over.
create function quantumflow.move_cursor(c quantumflow.cursor_position, part text, n int, win pg_snapshot, last_xid xid8, last_id bigint)
returns void language plpgsql as $$
begin
  if part in ('backlog', 'retries') then
    insert into quantumflow.cursor_position (cursor_id, seq, done, win, pos_xid, pos_id, backlog_put, backlog_taken, taken)
    values (c.cursor_id, c.seq + 1, c.done, c.win, c.pos_xid, c.pos_id, c.backlog_put, c.backlog_taken + n, c.taken + n);
  elsif last_xid is null then
    insert into quantumflow.cursor_position (cursor_id, seq, done, backlog_put, backlog_taken, taken)
    values (c.cursor_id, c.seq + 1, win, c.backlog_put, c.backlog_taken, c.taken + n);
  else
    insert into quantumflow.cursor_position (cursor_id, seq, done, win, pos_xid, pos_id, backlog_put, backlog_taken, taken)
    values (c.cursor_id, c.seq + 1, c.done, win, last_xid, last_id, c.backlog_put, c.backlog_taken, c.taken + n);
  end if;
end $$;

-- The batch of one lane that has work and is free: what a worker of a daemon takes; of several, the one that was taken from the
-- longest ago. (By lot, one lane of eight that are always busy waits ten times as long as another.) One time in four any of them: a
-- lane whose batch is given back again and again keeps its place, and would be first for ever. `only_cursor` takes from that one.
-- Order: due retries, the backlog, the log. The rows go straight from the scan to the caller: a batch kept aside to look at
-- its end costs more than to look for its end once more.
create function quantumflow.take_lane(queue text, consumer_group text, max int, only_cursor int default null)
returns setof quantumflow.delivery language plpgsql
set enable_seqscan = off set enable_bitmapscan = off set jit = off set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
declare
  r record;
  c quantumflow.cursor_position;
  win pg_snapshot;
  b quantumflow.bounds;
  part text;
  keys_wait boolean;
  in_turn boolean := random() < 0.75;
  parked bigint[];
  wanted int;
  n int;
  last_xid xid8;
  last_id bigint;
begin
  perform quantumflow.check_take(queue, consumer_group, max);
  for r in select w.cursor_id, w.stream_id, w.ordering_key, w.retired_at from quantumflow.work w
            where w.queue_name = take_lane.queue and w.consumer_group = take_lane.consumer_group
              and (only_cursor is null or w.cursor_id = only_cursor)
              and (w.has_new or (w.has_retries and quantumflow.next_retry_at(w.cursor_id) <= clock_timestamp())
                   or w.retired_at is not null)
            order by w.retired_at is not null desc, case when in_turn then w.taken_at end, random()
  loop
    if r.retired_at is not null then
      perform quantumflow.subscribe(queue, consumer_group);  -- it is back: from now on
      continue;
    end if;
    continue when not pg_try_advisory_xact_lock(quantumflow.cursor_lock_class(), r.cursor_id);
    -- Its work may have been taken between the look and the lock.
    select p.* into c from quantumflow.cursor_position p
     where p.cursor_id = r.cursor_id order by p.cursor_id desc, p.seq desc limit 1;
    perform set_config('quantumflow.in_hand',
      coalesce(current_setting('quantumflow.in_hand', true), '') || c.cursor_id || ':' || c.seq || ',', true);
    wanted := max;
    keys_wait := false;
    parked := null;
    last_xid := null;
    if exists (select from quantumflow.retry t where t.cursor_id = c.cursor_id and t.attempts >= 0) then
      return query select * from quantumflow.take_due_retries(c.cursor_id, max);
      get diagnostics n = row_count;
      wanted := max - n;
      if wanted <= 0 then
        perform quantumflow.move_cursor(c, 'retries', 0, null, null, null);
        return;
      end if;
      -- Of a key whose retries are all in this batch, what follows may be in it, too.
      keys_wait := exists (select from quantumflow.retry t
                            where t.cursor_id = c.cursor_id and t.ordering_key >= '' and coalesce(t.taken_by, '0') = '0');
    end if;
    -- By way of text, which unpacks it: as it comes from the table it would be unpacked once for each row that is asked about.
    win := coalesce(c.win::text::pg_snapshot, case when pg_current_xact_id_if_assigned() is null then pg_current_snapshot()
                                                   else quantumflow.snapshot_without_own() end);
    b := quantumflow.bounds_of(c.done, c.pos_xid, c.pos_id, win);
    part := case when c.backlog_put > c.backlog_taken then 'backlog' else 'log' end;
    if part = 'log' and cardinality(b.late_xids) > 0
       and exists (select from quantumflow.read_late(r.stream_id, b.late_xids, b.after_xid, b.after_id, 1)) then
      part := 'late';
    end if;
    if keys_wait then parked := quantumflow.park(part, c, r.stream_id, b, win, wanted, r.ordering_key); end if;
    if part = 'log' and parked is null then  -- nearly always
      return query select l.msg_id, l.body, l.enqueued_at, 0, c.cursor_id
                     from quantumflow.read_log(r.stream_id, b.lower_xid, b.lower_id, win, wanted) l;
      get diagnostics n = row_count;
    else
      return query select l.msg_id, l.body, l.enqueued_at, 0, c.cursor_id
                     from quantumflow.read_part(part, c, r.stream_id, b, win, wanted) l where l.msg_id <> all (coalesce(parked, '{}'));
      get diagnostics n = row_count;
      n := n + coalesce(cardinality(parked), 0);
    end if;
    if part = 'log' and n = wanted then
      select l.xid, l.msg_id into last_xid, last_id
        from quantumflow.read_log(r.stream_id, b.lower_xid, b.lower_id, win, wanted) l offset n - 1;
    elsif part = 'late' then
      select l.xid, l.msg_id into last_xid, last_id
        from quantumflow.read_late(r.stream_id, b.late_xids, b.after_xid, b.after_id, wanted) l offset n - 1;
    end if;
    if n > 0 or c.win is not null then
      perform quantumflow.move_cursor(c, part, n, win, last_xid, last_id);
    elsif wanted < max then
      perform quantumflow.move_cursor(c, 'retries', 0, null, null, null);
    end if;
    -- A window may have nothing left; then it is closed now, and another lane's turn.
    if n > 0 or wanted < max then return; end if;
  end loop;
  if not found then perform quantumflow.check_subscribed(queue, consumer_group); end if;
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
begin
  perform quantumflow.check_reader(queue, consumer_group);
  perform quantumflow.check_isolation('take');
  if max is null or max not between 1 and 10000 then
    raise exception 'max: expected 1 to 10000' using errcode = 'invalid_parameter_value';
  end if;
end $$;

-- Asked only of a group that found nothing to take.
create function quantumflow.check_subscribed(queue text, consumer_group text) returns void language plpgsql stable as $$
begin
  if not exists (select from quantumflow.reader r
                  where r.queue_name = check_subscribed.queue and r.consumer_group = check_subscribed.consumer_group) then
    perform quantumflow.find_queue(queue);
    raise exception 'consumer_group: "%" is not subscribed to queue "%"', left(consumer_group, 100), queue
      using errcode = 'undefined_object', hint = 'call quantumflow.subscribe(queue, consumer_group) once';
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
    return query select d.message_id, quantumflow.payload_of(d.body), d.enqueued_at, d.attempts
                   from quantumflow.take_lane(queue, consumer_group, remaining, cursor) d;
    get diagnostics found_rows = row_count;
    remaining := remaining - found_rows;
    if remaining <= 0 then return; end if;
  end loop;
  if not found then perform quantumflow.check_subscribed(queue, consumer_group); end if;
end $$;
comment on function quantumflow.take is
  'Takes up to max messages in the caller''s transaction: COMMIT acknowledges them, ROLLBACK or a lost connection gives them back at once. Needs READ COMMITTED.';
