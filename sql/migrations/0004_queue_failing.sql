-- What happens to a message that could not be handled.

-- ── Counting ───────────────────────────────────────────────────────────────────────────────────────────────────────

create function quantumflow.count_retries() returns trigger language plpgsql as $$
begin
  if tg_op = 'INSERT' then
    insert into quantumflow.aside_count (cursor_id, retrying)
    select a.cursor_id, count(*) from added a where a.taken_by is null group by 1;
  elsif tg_op = 'DELETE' then
    insert into quantumflow.aside_count (cursor_id, retrying)
    select r.cursor_id, -count(*) from removed r where r.taken_by is null group by 1;
  else
    insert into quantumflow.aside_count (cursor_id, retrying)
    select c.cursor_id, sum(c.n) from (select a.cursor_id, 1 as n from added a where a.taken_by is null union all
                                       select r.cursor_id, -1 from removed r where r.taken_by is null) c
     group by 1 having sum(c.n) <> 0;
  end if;
  return null;
end $$;
create trigger counted_in after insert on quantumflow.retry
  referencing new table as added for each statement execute function quantumflow.count_retries();
create trigger counted_on after update on quantumflow.retry
  referencing old table as removed new table as added for each statement execute function quantumflow.count_retries();
create trigger counted_out after delete on quantumflow.retry
  referencing old table as removed for each statement execute function quantumflow.count_retries();

create function quantumflow.count_dead() returns trigger language plpgsql as $$
begin
  if tg_op = 'INSERT' then
    insert into quantumflow.aside_count (cursor_id, dead) select a.cursor_id, count(*) from added a group by 1;
  else
    insert into quantumflow.aside_count (cursor_id, dead) select r.cursor_id, -count(*) from removed r group by 1;
  end if;
  return null;
end $$;
create trigger counted_in after insert on quantumflow.dead_letter
  referencing new table as added for each statement execute function quantumflow.count_dead();
create trigger counted_out after delete on quantumflow.dead_letter
  referencing old table as removed for each statement execute function quantumflow.count_dead();

create function quantumflow.count_purged() returns trigger language plpgsql as $$
begin
  insert into quantumflow.aside_count (cursor_id, purged)
  select a.cursor_id, count(*) from added a where a.action = 'purge' group by 1;
  return null;
end $$;
create trigger counted_in after insert on quantumflow.operator_action
  referencing new table as added for each statement execute function quantumflow.count_purged();

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
     where t.cursor_id = hand.cursor_id and t.msg_id = set_aside.message_id and t.attempts >= 0
       and coalesce(t.taken_by, '0') = pg_current_xact_id();
    if found then return r; end if;
    if exists (select from quantumflow.dead_letter d where d.msg_id = set_aside.message_id and d.cursor_id = hand.cursor_id
                 and d.written_in = pg_current_xact_id()) then
      raise exception 'message_id: message % is settled already', message_id using errcode = 'invalid_parameter_value';
    end if;
    -- The batch lies between the position before and the one after it. (Where only retries were taken, there is none.)
    insert into quantumflow.retry (cursor_id, xid, msg_id, ordering_key, enqueued_at, body, attempts, due_at, taken_by)
    select c.cursor_id, m.xid, m.msg_id, quantumflow.payload_of(m.body) #>> q.ordering_key, m.enqueued_at, m.body, 0, clock_timestamp(),
           pg_current_xact_id()
      from quantumflow.cursor c
      join quantumflow.stream s using (stream_id) join quantumflow.queue q on q.queue_id = c.queue_id
      join quantumflow.cursor_position before on before.cursor_id = c.cursor_id and before.seq = hand.seq
      join quantumflow.cursor_position after on after.cursor_id = c.cursor_id and after.seq = hand.seq + 1
                                            and after.written_in = pg_current_xact_id() and after.taken > before.taken
      cross join lateral (
        select l.xid, l.msg_id, l.enqueued_at, l.body from quantumflow.message l
         where after.backlog_taken = before.backlog_taken
           and l.stream_id = c.stream_id and l.msg_id = set_aside.message_id
           and l.xid >= coalesce(before.pos_xid, pg_snapshot_xmin(before.done))
           and l.xid <= coalesce(after.pos_xid, pg_snapshot_xmax(after.done))
        union all
        select k.xid, k.msg_id, k.enqueued_at, k.body from quantumflow.backlog k
         where k.cursor_id = c.cursor_id and k.seq > before.backlog_taken and k.seq <= after.backlog_taken
           and k.msg_id = set_aside.message_id) m
     where c.cursor_id = hand.cursor_id
    returning * into r;
    if found then return r; end if;
  end loop;
  raise exception 'message_id: message % was not taken in this transaction', message_id
    using errcode = 'invalid_parameter_value';
end $$;

create function quantumflow.bury(r quantumflow.retry, reason text, errors jsonb) returns void language sql as $$
  delete from quantumflow.retry t where t.cursor_id = r.cursor_id and t.msg_id = r.msg_id and t.attempts >= 0;
  insert into quantumflow.dead_letter (cursor_id, xid, msg_id, ordering_key, enqueued_at, body, attempts, reason, errors)
  values (r.cursor_id, r.xid, r.msg_id, r.ordering_key, r.enqueued_at, r.body, r.attempts + 1, bury.reason, bury.errors);
$$;

-- delay × 2^(failures before this one), up to 20 % jitter, at most 60 s.
create function quantumflow.backoff(delay_ms int, failures int) returns interval language sql volatile as $$
  select least(delay_ms * power(2, least(failures, 16)) * (1 + random() * 0.2), 60000) * interval '1 millisecond'
$$;

-- `max_retries` and `retry_delay_ms` stand in for the queue's own where given.
create function quantumflow.fail(message_id bigint, error text, max_retries int default null,
                                 retry_delay_ms int default null) returns boolean language plpgsql
set enable_seqscan = off set enable_bitmapscan = off set jit = off set plan_cache_mode = force_generic_plan as $$
declare
  r quantumflow.retry := quantumflow.set_aside(message_id);
  q quantumflow.queue;
  history jsonb := r.errors || jsonb_build_array(jsonb_build_object(
    'at', to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
    'error', left(coalesce(error, 'unknown'), 4000)));
begin
  perform quantumflow.check_cursor(r.cursor_id);
  select t.* into q from quantumflow.cursor c join quantumflow.queue t using (queue_id) where c.cursor_id = r.cursor_id;
  if r.attempts >= coalesce(max_retries, q.max_retries) then
    perform quantumflow.bury(r, 'retries_exhausted', history);
    return false;
  end if;
  update quantumflow.retry t
     set attempts = r.attempts + 1, errors = history, taken_by = null,
         due_at = clock_timestamp() + quantumflow.backoff(coalesce(fail.retry_delay_ms, q.retry_delay_ms), r.attempts)
   where t.cursor_id = r.cursor_id and t.msg_id = r.msg_id and t.attempts >= 0;
  return true;
end $$;
comment on function quantumflow.fail(bigint, text, int, int) is
  'Says that a message taken in this transaction failed: it is retried with backoff (true), and dead-lettered after the last attempt (false).';

create function quantumflow.reject(message_id bigint, error text) returns void language plpgsql as $$
declare r quantumflow.retry := quantumflow.set_aside(message_id);
begin
  perform quantumflow.check_cursor(r.cursor_id);
  perform quantumflow.bury(r, 'rejected', r.errors || jsonb_build_array(jsonb_build_object(
    'at', to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
    'error', left(coalesce(error, 'unknown'), 4000))));
end $$;
comment on function quantumflow.reject is
  'Says that a message taken in this transaction can never be handled: it goes to the dead-letter queue at once.';

-- ── Messages that crash their consumer ─────────────────────────────────────────────────────────────────────────────

-- A process begins to consume; true: its last run did not end as it should.
create function quantumflow.begin_consuming(consumer_group text, slot text) returns boolean language plpgsql as $$
declare was_there boolean;
begin
  perform quantumflow.check_instance(consumer_group);
  insert into quantumflow.consumer_process as p (consumer_group, slot)
  values (begin_consuming.consumer_group, begin_consuming.slot)
  on conflict on constraint consumer_process_pkey do update set started_at = clock_timestamp() returning p.xmax <> 0 into was_there;
  return was_there;
end $$;

create function quantumflow.end_consuming(consumer_group text, slot text) returns void language plpgsql as $$
begin
  perform quantumflow.check_instance(consumer_group);
  delete from quantumflow.consumer_process p
   where p.consumer_group = end_consuming.consumer_group and p.slot = end_consuming.slot;
end $$;

-- Notes, in a transaction of its own, that this run of the process is about to handle the message. Returns how many runs have
-- noted it: those before this one ended with it in hand. A run that lost only its connection may note it again.
create function quantumflow.note_in_hand(cursor_id int, message_id bigint, run bigint) returns int language plpgsql as $$
declare runs_so_far int;
begin
  perform quantumflow.check_cursor(cursor_id);
  insert into quantumflow.crash_note as n (cursor_id, msg_id, run, runs)
  values (note_in_hand.cursor_id, note_in_hand.message_id, note_in_hand.run, 1)
  on conflict on constraint crash_note_pkey
    do update set runs = n.runs + (n.run <> excluded.run)::int, run = excluded.run, noted_at = clock_timestamp()
  returning n.runs into runs_so_far;
  return runs_so_far;
end $$;

create function quantumflow.clear_note(cursor_id int, message_id bigint) returns void language plpgsql as $$
begin
  perform quantumflow.check_cursor(cursor_id);
  delete from quantumflow.crash_note n where n.cursor_id = clear_note.cursor_id and n.msg_id = clear_note.message_id;
end $$;

-- Dead-letters a message taken in this transaction that was in hand whenever its consumer crashed.
create function quantumflow.bury_crasher(message_id bigint, crashes int) returns void language plpgsql as $$
declare r quantumflow.retry := quantumflow.set_aside(message_id);
begin
  perform quantumflow.check_cursor(r.cursor_id);
  perform quantumflow.bury(r, 'crashed_consumer', r.errors || jsonb_build_array(jsonb_build_object(
    'at', to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
    'error', format('its consumer''s process ended %s times while it was handled', crashes))));
end $$;
