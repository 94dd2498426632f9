-- What keeps the queue small: called at intervals by the coordinators, each statement in a transaction of its own. Any number
-- of them may call at once.

-- ── Positions ──────────────────────────────────────────────────────────────────────────────────────────────────────

-- Deletes positions that newer ones have replaced, backlog rows that were taken, and retries whose taker committed. Needs no
-- cursor lock: a taker that still runs is not visible here, and the position it started from is the newest that is.
create function quantumflow.trim_positions() returns bigint language plpgsql as $$
declare
  c record;
  trimmed bigint := 0;
  n bigint;
begin
  for c in select p.cursor_id, max(p.seq) as newest, max(p.backlog_taken) as backlog_taken
             from quantumflow.cursor_position p group by p.cursor_id having count(*) > 1
  loop
    if c.backlog_taken > 0 then
      delete from quantumflow.backlog k
       where k.cursor_id = c.cursor_id and k.seq in (select t.seq from quantumflow.backlog t
              where t.cursor_id = c.cursor_id and t.seq <= c.backlog_taken order by t.seq limit 100000);
    end if;
    delete from quantumflow.cursor_position p where p.cursor_id = c.cursor_id and p.seq < c.newest;
    get diagnostics n = row_count;
    trimmed := trimmed + n;
  end loop;
  -- Not waiting for takers that are at the same: each of them may wait for the other.
  delete from quantumflow.retry r where r.ctid = any (array(
    select t.ctid from quantumflow.retry t
     where t.taken_by is not null and t.taken_by <> coalesce(pg_current_xact_id_if_assigned(), '0') for update skip locked));
  delete from quantumflow.crash_note n where n.noted_at < clock_timestamp() - interval '7 days';
  return trimmed + quantumflow.trim_producers() + quantumflow.trim_effects();
end $$;

-- ── Counting ───────────────────────────────────────────────────────────────────────────────────────────────────────

-- Counts what was published since the last time, each message once, and adds up what was set aside; list_queues() then has
-- little left to count.
create function quantumflow.count_messages() returns bigint language plpgsql as $$
declare
  seen pg_snapshot;
  now_at pg_snapshot;
  added bigint;
begin
  perform quantumflow.check_isolation('count_messages');
  select t.upto into seen from quantumflow.counted t for update skip locked;
  if not found then return 0; end if;  -- another one is at it
  now_at := quantumflow.snapshot_without_own();
  with fresh as materialized (select b.* from quantumflow.count_between(seen, now_at) b),
  kept as (insert into quantumflow.stream_count as t (stream_id, n) select f.* from fresh f
             on conflict (stream_id) do update set n = t.n + excluded.n)
  select coalesce(sum(f.n), 0) into added from fresh f;
  if added > 0 then update quantumflow.counted t set upto = now_at; end if;
  with several as (select a.cursor_id from quantumflow.aside_count a group by 1 having count(*) > 1),
  gone as (delete from quantumflow.aside_count a using several s where a.cursor_id = s.cursor_id returning a.*)
  insert into quantumflow.aside_count (cursor_id, retrying, dead, purged)
  select g.cursor_id, sum(g.retrying), sum(g.dead), sum(g.purged) from gone g group by 1;
  return added;
end $$;

-- ── Who still needs a segment ──────────────────────────────────────────────────────────────────────────────────────

-- The readers that have something left in the segment. Exact under the locks of truncate_segment(): then no row of the
-- segment is uncommitted, and every reader is visible.
create function quantumflow.readers_of_segment(segment int)
returns table (stream_id int, cursor_id int, queue_name text, consumer_group text) language plpgsql stable
set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
begin
  return query execute format($sql$
    select f.stream_id, f.cursor_id, q.name, f.consumer_group
      from quantumflow.frontier f join quantumflow.queue q using (queue_id)
     where exists (select from quantumflow.message_%1$s m
                    where m.stream_id = f.stream_id and (m.xid, m.msg_id) > (f.lower_xid, f.lower_id))
        or exists (select from unnest(f.late_xids) late, quantumflow.message_%1$s m
                    where m.stream_id = f.stream_id and m.xid = late
                      and (m.xid <> f.pos_xid or m.msg_id > f.pos_id) is not false)$sql$, segment);
end $$;

-- ── Backlogs ───────────────────────────────────────────────────────────────────────────────────────────────────────

-- Moves what a cursor has not read from the log to its backlog, up to max messages; returns how many, null when somebody
-- has the cursor in hand. It is a take whose handler writes to the backlog: the same window, the same move of the position
-- in the same transaction, so nothing is copied twice or left out.
create function quantumflow.move_to_backlog(cursor_id int, stream_id int, max int) returns int language plpgsql
set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
declare
  c quantumflow.cursor_position;
  win pg_snapshot;
  b quantumflow.bounds;
  moved int;
begin
  begin
    -- Waits, up to lock_timeout: a cursor that is always at work has no gap that a try would hit.
    perform pg_advisory_xact_lock(quantumflow.cursor_lock_class(), move_to_backlog.cursor_id);
  exception when lock_not_available then
    return null;
  end;
  select * into c from quantumflow.cursor_position p
   where p.cursor_id = move_to_backlog.cursor_id order by p.cursor_id desc, p.seq desc limit 1;
  win := coalesce(c.win, quantumflow.snapshot_without_own());
  b := quantumflow.bounds_of(c.done, c.pos_xid, c.pos_id, win);
  with batch as materialized (
    select m.*, row_number() over (order by m.xid, m.msg_id) as place
      from (select * from quantumflow.read_late(move_to_backlog.stream_id, b.late_xids, b.after_xid, b.after_id, move_to_backlog.max)
            union all
            select * from quantumflow.read_log(move_to_backlog.stream_id, b.lower_xid, b.lower_id, win, move_to_backlog.max)
            order by 1, 2 limit move_to_backlog.max) m),
  kept as (
    insert into quantumflow.backlog (cursor_id, seq, xid, msg_id, enqueued_at, body)
    select c.cursor_id, c.backlog_put + t.place, t.xid, t.msg_id, t.enqueued_at, t.body from batch t),
  last as (select t.xid, t.msg_id, t.place as n from batch t order by t.place desc limit 1),
  position as (
    insert into quantumflow.cursor_position
      (cursor_id, seq, done, win, pos_xid, pos_id, backlog_put, backlog_taken, taken, taken_at)
    select c.cursor_id, c.seq + 1,
           case when more then c.done else win end, case when more then win end,
           case when more then l.xid end, case when more then l.msg_id end,
           c.backlog_put + coalesce(l.n, 0), c.backlog_taken, c.taken, c.taken_at
      from (select 1) one left join last l on true
           cross join lateral (select coalesce(l.n, 0) = move_to_backlog.max as more) full_batch
     where l.n is not null or c.win is not null)
  select count(*) into moved from batch;
  return moved;
end $$;

-- Moves what lagging cursors have not read: those that still need a segment `after` it was closed. A cursor that keeps up
-- never does. Returns how many messages were moved; call again while it is max or more.
create function quantumflow.move_laggards(after interval default '120 s', max int default 20000,
                                          lock_timeout_ms int default 100) returns int language plpgsql as $$
declare
  old_timeout text := current_setting('lock_timeout');
  r record;
  moved int := 0;
begin
  perform quantumflow.check_isolation('move_laggards');
  perform from quantumflow.upkeep u where u.task = 'backlogs' for update skip locked;
  if not found then return 0; end if;
  perform set_config('lock_timeout', lock_timeout_ms || 'ms', true);
  for r in select distinct on (u.stream_id, u.cursor_id) u.* from quantumflow.segment g
             cross join lateral quantumflow.readers_of_segment(g.segment) u
            where g.closed_at <= clock_timestamp() - move_laggards.after
  loop
    exit when moved >= move_laggards.max;
    if r.cursor_id is null then
      -- As subscribe does, whose group would else not find the place that it should take over.
      perform from quantumflow.stream s where s.stream_id = r.stream_id for update skip locked;
      continue when not found or exists (select from quantumflow.cursor c where c.stream_id = r.stream_id);
      perform quantumflow.add_cursor(r.stream_id, quantumflow.unclaimed(), true);
      select c.cursor_id into r.cursor_id from quantumflow.cursor c
       where c.stream_id = r.stream_id and c.consumer_group = quantumflow.unclaimed();
    end if;
    moved := moved + coalesce(quantumflow.move_to_backlog(r.cursor_id, r.stream_id, move_laggards.max - moved), 0);
  end loop;
  perform set_config('lock_timeout', old_timeout, true);
  return moved;
end $$;
comment on function quantumflow.move_laggards is
  'Copies what lagging readers have not read to their backlogs, so that no one reader holds the log.';

-- ── Rotation ───────────────────────────────────────────────────────────────────────────────────────────────────────

create function quantumflow.note_held(segment int, held_by text) returns void language sql as $$
  update quantumflow.segment g
     set held_by = note_held.held_by, held_since = case when note_held.held_by is not null
                                                         then coalesce(g.held_since, clock_timestamp()) end
   where g.segment = note_held.segment and (g.held_by is distinct from note_held.held_by);
$$;

-- Who needs the segment, as a sentence; null: nobody.
create function quantumflow.holders_of_segment(segment int) returns text language sql stable as $$
  select format('%s reader(s) have messages left in it, for example "%s" of queue %s', count(*), min(consumer_group),
                (array_agg(queue_name order by consumer_group))[1])
    from quantumflow.readers_of_segment(holders_of_segment.segment) having count(*) > 0
$$;

-- Truncates a closed segment if every reader is through with it. The locks are waited for no longer than lock_timeout.
create function quantumflow.truncate_segment(segment int) returns boolean language plpgsql as $$
declare
  held text := quantumflow.holders_of_segment(segment);
begin
  if held is not null then
    perform quantumflow.note_held(segment, held);
    return false;
  end if;
  -- Everybody queues up behind a request for the lock: none is made where somebody, a dump for example, will not be done in time.
  held := 'its lock was not free: ' || quantumflow.oldest_user(segment, '1 s');
  if held is not null then
    perform quantumflow.note_held(segment, held);
    return false;
  end if;
  begin
    perform from quantumflow.counted for update;  -- what is cut here must not be counted elsewhere meanwhile
    -- A reader that is being added may need rows that nobody else does. In the order of one who adds a reader and publishes.
    lock table quantumflow.cursor in share mode;
    -- Nobody writes to it from here on, and readers only get further: what the test finds holds until the TRUNCATE, and takers
    -- are kept out for that alone.
    execute format('lock table quantumflow.message_%s in share mode', segment);
    held := quantumflow.holders_of_segment(segment);
    if held is not null then
      raise lock_not_available using message = held;  -- gives the locks back
    end if;
    insert into quantumflow.stream_count as t (stream_id, n)
    select b.* from quantumflow.counted c, quantumflow.count_between(c.upto, of_segment => truncate_segment.segment) b
      on conflict (stream_id) do update set n = t.n + excluded.n;
    execute format('truncate quantumflow.message_%s', segment);
  exception when lock_not_available then
    perform quantumflow.note_held(segment, coalesce(held, 'its lock was not free: ' || quantumflow.oldest_user(segment, '0 s'), 'its lock was not free'));
    return false;
  end;
  update quantumflow.segment g
     set closed_at = null, truncated_at = clock_timestamp(), held_by = null, held_since = null
   where g.segment = truncate_segment.segment;
  return true;
end $$;

-- Who has used the segment for longest, and for so long, for people; null: nobody.
create function quantumflow.oldest_user(segment int, for_longer_than interval) returns text language sql volatile as $$
  select format('process %s (%s) has used it for %s', a.pid, coalesce(nullif(a.application_name, ''), 'unnamed'),
                date_trunc('milliseconds', clock_timestamp() - a.xact_start))
      from pg_locks l join pg_stat_activity a on a.pid = l.pid
     where l.granted and l.relation = format('quantumflow.message_%s', segment)::regclass and l.pid <> pg_backend_pid()
       and l.database = (select d.oid from pg_database d where d.datname = current_database())
       and a.xact_start <= clock_timestamp() - for_longer_than
     order by a.xact_start limit 1
$$;

-- Truncates what is read, and moves publishers on to an empty segment once the current one is `after` old or larger than
-- max_bytes. One who looked before that may still write to the old one, even after it was truncated: every segment is always
-- read, so such a message is late at most. Returns a row a segment, none when another one is at it.
create function quantumflow.rotate(after interval default '60 s', max_bytes bigint default 1073741824,
                                   lock_timeout_ms int default 100)
returns table (segment int, state text, bytes bigint, held_by text, held_seconds double precision) language plpgsql as $$
#variable_conflict use_column
declare
  old_timeout text := current_setting('lock_timeout');
  now_at int;
  next_one int;
  old record;
begin
  perform quantumflow.check_isolation('rotate');
  perform from quantumflow.upkeep u where u.task = 'rotate' for update skip locked;
  if not found then return; end if;
  now_at := pg_sequence_last_value('quantumflow.current_segment');
  next_one := (now_at + 1) % 3;
  perform set_config('lock_timeout', lock_timeout_ms || 'ms', true);
  for old in select g.segment from quantumflow.segment g where g.closed_at is not null order by g.closed_at loop
    perform quantumflow.truncate_segment(old.segment);
  end loop;
  perform set_config('lock_timeout', old_timeout, true);
  if exists (select from quantumflow.segment g
              where g.segment = now_at and pg_relation_size(format('quantumflow.message_%s', now_at)) > 0
                and (coalesce(g.opened_at, '-infinity') <= clock_timestamp() - rotate.after
                     or pg_total_relation_size(format('quantumflow.message_%s', now_at)) >= rotate.max_bytes))
     and exists (select from quantumflow.segment g where g.segment = next_one and g.closed_at is null) then
    update quantumflow.segment g set opened_at = clock_timestamp() where g.segment = next_one;
    -- Stays where this transaction fails after it; closing below does not depend on who moved on.
    now_at := setval('quantumflow.current_segment', next_one);
  end if;
  update quantumflow.segment g set closed_at = clock_timestamp()
   where g.segment <> now_at and g.closed_at is null and pg_relation_size(format('quantumflow.message_%s', g.segment)) > 0;
  return query select * from quantumflow.segments();
end $$;
comment on function quantumflow.rotate is
  'Truncates segments of the log that everyone has read, and moves publishers on to the next. Says what holds the others.';

-- The segments of the log: current, empty, closed (to be truncated) or held (with why and since when).
create function quantumflow.segments()
returns table (segment int, state text, bytes bigint, held_by text, held_seconds double precision) language sql stable as $$
  select g.segment::int,
         case when g.segment = pg_sequence_last_value('quantumflow.current_segment') then 'current' when g.closed_at is null then 'empty'
              when g.held_by is null then 'closed' else 'held' end,
         pg_total_relation_size(format('quantumflow.message_%s', g.segment)), g.held_by,
         extract(epoch from clock_timestamp() - g.held_since)::double precision
    from quantumflow.segment g order by g.segment
$$;

-- ── Instances that never came back ─────────────────────────────────────────────────────────────────────────────────

-- Instances that took nothing for so long although something waited all the while. One that has nothing to read is not
-- silent: there is nothing to tell it from a dead one, and nothing is kept for it.
create function quantumflow.silent_instances(silent_for interval, only_one text default null) returns setof text
language sql stable as $$
  select c.consumer_group
    from quantumflow.cursor c join quantumflow.stream s using (stream_id)
    cross join lateral (select p.* from quantumflow.cursor_position p where p.cursor_id = c.cursor_id
                         order by p.cursor_id desc, p.seq desc limit 1) p
   where (s.lane is null or c.consumer_group = quantumflow.unclaimed()) and c.retired_at is null
     and (only_one is null or c.consumer_group = only_one)
   group by c.consumer_group
  having max(p.taken_at) <= clock_timestamp() - silent_for
     and bool_or(exists (select from quantumflow.backlog k
                          where k.cursor_id = p.cursor_id and k.seq = p.backlog_taken + 1
                            and k.enqueued_at <= clock_timestamp() - silent_for)
                 or exists (select from quantumflow.retry r
                             where r.cursor_id = p.cursor_id and r.taken_by is null
                               and r.due_at <= clock_timestamp() - silent_for))
$$;

-- Moves up to max messages that wait for one cursor to the dead letters, oldest first; fewer than max: there are no more.
create function quantumflow.bury_waiting(cursor_id int, stream_id int, error text, max int) returns bigint language plpgsql as $$
declare
  key_path text[];
  why jsonb := jsonb_build_array(jsonb_build_object(
    'at', to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), 'error', error));
  p quantumflow.cursor_position;
  from_backlog bigint;
  from_retry bigint;
begin
  perform quantumflow.move_to_backlog(bury_waiting.cursor_id, bury_waiting.stream_id, bury_waiting.max);
  select q.ordering_key into key_path from quantumflow.stream s join quantumflow.queue q using (queue_id)
   where s.stream_id = bury_waiting.stream_id;
  select * into p from quantumflow.cursor_position t where t.cursor_id = bury_waiting.cursor_id order by t.seq desc limit 1;
  insert into quantumflow.dead_letter (cursor_id, xid, msg_id, ordering_key, enqueued_at, body, attempts, reason, errors)
  select k.cursor_id, k.xid, k.msg_id, quantumflow.payload_of(k.body) #>> key_path, k.enqueued_at, k.body, 0, 'recipient_expired', why
    from quantumflow.backlog k
   where k.cursor_id = bury_waiting.cursor_id and k.seq > p.backlog_taken order by k.seq limit bury_waiting.max;
  get diagnostics from_backlog = row_count;
  delete from quantumflow.backlog k where k.cursor_id = bury_waiting.cursor_id and k.seq <= p.backlog_taken + from_backlog;
  insert into quantumflow.cursor_position (cursor_id, seq, done, win, pos_xid, pos_id, backlog_put, backlog_taken, taken, taken_at)
  values (p.cursor_id, p.seq + 1, p.done, p.win, p.pos_xid, p.pos_id, p.backlog_put, p.backlog_taken + from_backlog,
          p.taken + from_backlog, p.taken_at);
  with gone as (
    delete from quantumflow.retry r
     where r.ctid = any (array(
       select t.ctid from quantumflow.retry t
        where t.cursor_id = bury_waiting.cursor_id and t.attempts >= 0 and coalesce(t.taken_by, '0') = '0'
        order by t.place limit bury_waiting.max - from_backlog)) returning r.*)
  insert into quantumflow.dead_letter (cursor_id, xid, msg_id, ordering_key, enqueued_at, body, attempts, reason, errors)
  select g.cursor_id, g.xid, g.msg_id, g.ordering_key, g.enqueued_at, g.body, g.attempts, 'recipient_expired', g.errors || why
    from gone g order by g.place;
  get diagnostics from_retry = row_count;
  return from_backlog + from_retry;
end $$;

-- Keeps takers of all cursors of the instance out until this transaction ends. False: one of them is at work, or it is not silent.
create function quantumflow.hold_silent(instance text, silent_for interval) returns boolean language plpgsql as $$
begin
  perform pg_advisory_xact_lock(quantumflow.cursor_lock_class(), each.cursor_id)
     from (select c.cursor_id from quantumflow.cursor c where c.consumer_group = instance order by c.cursor_id) each;
  -- It may have come back while others were looked after.
  return exists (select from quantumflow.silent_instances(silent_for, instance));
exception when lock_not_available then
  return false;
end $$;

-- What waits for a silent instance becomes dead letters, and what is on a queue that nobody has ever read. Broadcasts are not kept
-- for it any more until it subscribes or takes again; what is sent to it alone still is, for as long. One instance a call, and at
-- most max messages of each of its streams: call again while it answers one.
create function quantumflow.expire_instances(silent_for interval default '7 days', lock_timeout_ms int default 100,
                                             max int default 50000)
returns table (instance text, dead_letters bigint) language plpgsql as $$
#variable_conflict use_column
declare
  old_timeout text := current_setting('lock_timeout');
  silent text;
  c record;
  buried bigint;
begin
  perform quantumflow.check_isolation('expire_instances');
  perform from quantumflow.upkeep u where u.task = 'backlogs' for update skip locked;
  if not found then return; end if;
  perform set_config('lock_timeout', lock_timeout_ms || 'ms', true);
  for silent in select * from quantumflow.silent_instances(silent_for) loop
    continue when not quantumflow.hold_silent(silent, silent_for);
    instance := silent;
    dead_letters := 0;
    for c in select t.cursor_id, t.stream_id, s.recipient from quantumflow.cursor t join quantumflow.stream s using (stream_id)
              where t.consumer_group = silent and (s.lane is null or silent = quantumflow.unclaimed())
                and t.retired_at is null order by t.cursor_id
    loop
      buried := quantumflow.bury_waiting(c.cursor_id, c.stream_id,
                                         case when silent = quantumflow.unclaimed()
                                              then format('nobody subscribed to the queue for %s', silent_for)
                                              else format('the instance took nothing for %s', silent_for) end, expire_instances.max);
      dead_letters := dead_letters + buried;
      if c.recipient is null and silent <> quantumflow.unclaimed() and buried < expire_instances.max then
        update quantumflow.cursor t set retired_at = clock_timestamp() where t.cursor_id = c.cursor_id;
      end if;
    end loop;
    return next;
    exit;
  end loop;
  perform set_config('lock_timeout', old_timeout, true);
end $$;
comment on function quantumflow.expire_instances is
  'Turns what waits for instances that have been silent for so long into dead letters (reason recipient_expired).';
