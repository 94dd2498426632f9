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
  retry_delay_ms int not null default 1000 check (retry_delay_ms between 1 and 60000),
  max_payload_bytes int not null default 8388608 check (max_payload_bytes between 1 and 268435456),
  instances_may  text not null default 'nothing' check (instances_may in ('nothing', 'publish', 'take')),
  -- Copies from `stream`, so that publishing needs one look-up: a shared queue's lanes in order, a broadcast's one stream.
  shared_streams int[] not null default '{}',
  shared_wake_id int);

-- One addressable sequence of messages.
create table quantumflow.stream (
  stream_id        int generated always as identity primary key,
  queue_id         int not null references quantumflow.queue,
  recipient        text check (length(recipient) between 1 and 200),  -- an instance
  lane             int,                                               -- 0-based; both null: broadcast
  wake_id          int not null,            -- streams that one sleeper waits for together share it
  unique nulls not distinct (queue_id, recipient, lane));

create table quantumflow.cursor (
  cursor_id      int generated always as identity primary key,
  stream_id      int not null references quantumflow.stream,
  queue_id       int not null references quantumflow.queue,  -- the stream's
  consumer_group text not null check (length(consumer_group) between 1 and 200),
  created_at     timestamptz not null default clock_timestamp(),
  skipped        bigint not null default 0,  -- messages of the stream that are not for it: it came later
  retired_at     timestamptz,  -- an instance that fell silent: nothing is kept for it until it subscribes or takes again
  unique (stream_id, consumer_group));
-- What a take begins with: through the queue's streams, each would look at those of all instances.
create index on quantumflow.cursor (consumer_group, queue_id);

-- Where a cursor stands: the row with the highest seq. Appended, never updated, so that a snapshot held open for hours
-- does not make every take walk over dead versions of one row; trim_positions() deletes the older ones. cursor_id references
-- `cursor`, whose rows are never deleted; a constraint would lock that row in every take.
create table quantumflow.cursor_position (
  cursor_id int not null,
  seq       bigint not null,
  done      pg_snapshot not null,  -- every message visible in it has been taken
  win       pg_snapshot,           -- the window being read, when it did not fit into one batch
  pos_xid   xid8,                  -- last message taken from that window
  pos_id    bigint,
  -- The cursor's rows in the backlog: the last one written and the last one taken. Equal, as nearly always: it has none.
  backlog_put   bigint not null default 0,
  backlog_taken bigint not null default 0,
  taken     bigint not null,       -- messages taken since the cursor began
  taken_at  timestamptz not null default clock_timestamp(),  -- the last time it took any
  written_in xid8 not null default pg_current_xact_id(),
  primary key (cursor_id, seq));

-- ── The log ────────────────────────────────────────────────────────────────────────────────────────────────────────

create sequence quantumflow.message_id;

-- Three segments of one log; publishers write the current one, and rotate() truncates one that every cursor is through
-- with. Rows are neither updated nor deleted, so there is nothing to vacuum; sql/README.md says why old xids are no danger.
create table quantumflow.message_0 (
  stream_id   int not null,
  msg_id      bigint not null default nextval('quantumflow.message_id'),
  xid         xid8 not null default pg_current_xact_id(),
  enqueued_at timestamptz not null default clock_timestamp(),
  body        text not null)  -- a JSON object; text costs half of jsonb at publish
  with (autovacuum_enabled = off, toast.autovacuum_enabled = off);
create table quantumflow.message_1 (like quantumflow.message_0 including defaults)
  with (autovacuum_enabled = off, toast.autovacuum_enabled = off);
create table quantumflow.message_2 (like quantumflow.message_0 including defaults)
  with (autovacuum_enabled = off, toast.autovacuum_enabled = off);
create index on quantumflow.message_0 (stream_id, xid, msg_id);
create index on quantumflow.message_1 (stream_id, xid, msg_id);
create index on quantumflow.message_2 (stream_id, xid, msg_id);

-- The segment that publishers write to. A sequence and not a row: every publish reads it, and a row replaced at each rotation
-- would be found through all its dead versions while a snapshot is held open. Set by rotate(), visible at once.
create sequence quantumflow.current_segment minvalue 0 maxvalue 2 start 0;
select setval('quantumflow.current_segment', 0);

-- What rotate() did with each segment, and what it waits for.
create table quantumflow.segment (
  segment       smallint primary key check (segment between 0 and 2),
  opened_at     timestamptz,  -- when publishers moved on to it
  closed_at     timestamptz,  -- when it was found left by them with messages in it; null: current, or truncated
  truncated_at  timestamptz,
  held_by       text,         -- why the last attempt did not truncate it; null: nothing did
  held_since    timestamptz);
insert into quantumflow.segment (segment, opened_at) values (0, clock_timestamp()), (1, null), (2, null);

-- How many messages were ever published, without counting a log again and again: those visible in `counted.upto` are in
-- stream_count.n, and only what came since is still to be counted. count_messages() moves both on.
create table quantumflow.counted (
  only_row boolean primary key default true check (only_row),
  upto     pg_snapshot not null);
insert into quantumflow.counted (upto) values ('1:1:');
create table quantumflow.stream_count (
  stream_id int primary key references quantumflow.stream,
  n         bigint not null);

-- What a lagging cursor had not read when its segment was due to be truncated; it is read before the log, in this order.
create table quantumflow.backlog (
  cursor_id   int not null,  -- as in cursor_position
  seq         bigint not null,
  xid         xid8 not null,
  msg_id      bigint not null,
  enqueued_at timestamptz not null,
  body        text not null,
  primary key (cursor_id, seq));

-- A view and not a parent table: an empty parent would cost 1e10 with enable_seqscan off and start JIT on every call.
create view quantumflow.message as
  select stream_id, msg_id, xid, enqueued_at, body from quantumflow.message_0 union all
  select stream_id, msg_id, xid, enqueued_at, body from quantumflow.message_1 union all
  select stream_id, msg_id, xid, enqueued_at, body from quantumflow.message_2;

-- The last numbered publications of each producer: what was published once is not published again. Appended, as positions
-- of cursors are; the newest of a producer counts.
create table quantumflow.producer_position (
  producer    text not null,  -- an instance's begins with its id
  sequence    bigint not null,
  message_ids bigint[] not null,
  at          timestamptz not null default clock_timestamp(),
  primary key (producer, sequence));
-- A row for each producer, locked while it publishes: one place at a time.
create table quantumflow.producer (producer text primary key);

-- ── Failures only ──────────────────────────────────────────────────────────────────────────────────────────────────

-- Messages waiting for another attempt, and those parked behind one with the same ordering key.
create table quantumflow.retry (
  cursor_id    int not null references quantumflow.cursor,
  xid          xid8 not null,
  msg_id       bigint not null,
  ordering_key text,
  enqueued_at  timestamptz not null,
  body         text not null,
  attempts     int not null check (attempts >= 0),  -- failed attempts so far
  due_at       timestamptz check (isfinite(due_at)),  -- null: parked, it has no time of its own
  errors       jsonb not null default '[]',     -- [{at, error}], oldest first
  taken_by     xid8,                            -- the transaction that took it: visible and not null = consumed
  -- Rising in the order of delivery, which is that of commits; xids are not. Of a key the lowest is first.
  place        bigint generated by default as identity,
  check (due_at is not null or ordering_key is not null));
-- However many wait, what is due, the keys with something parked, what was taken and the first of a key are found without looking at
-- the others: each question has one index that fits its condition, and no other. Of two that fit, a plan from when the table was small
-- takes either, and is kept. So the first one, which would be the primary key, is for those alone who say "attempts >= 0".
create unique index on quantumflow.retry (cursor_id, msg_id) where attempts >= 0;
create index on quantumflow.retry (cursor_id, due_at) where taken_by is null and due_at is not null;
create index on quantumflow.retry (cursor_id, ordering_key) where taken_by is null and due_at is null;
create index on quantumflow.retry (cursor_id) where taken_by is not null;
create index on quantumflow.retry (cursor_id, ordering_key, place) where ordering_key is not null;

create table quantumflow.dead_letter (
  id           bigint primary key default nextval('quantumflow.message_id'),  -- never equal to a message's id
  cursor_id    int not null references quantumflow.cursor,
  xid          xid8 not null,
  msg_id       bigint not null,
  ordering_key text,
  enqueued_at  timestamptz not null,
  body         text not null,
  attempts     int not null,
  reason       text not null check (reason in ('retries_exhausted', 'rejected', 'recipient_expired', 'crashed_consumer')),
  errors       jsonb not null,
  dead_at      timestamptz not null default clock_timestamp(),
  written_in   xid8 not null default pg_current_xact_id());
create index on quantumflow.dead_letter (cursor_id, dead_at, id);
create index on quantumflow.dead_letter (msg_id);

-- Processes that consume. A row that is still there when its process starts again says that the last run ended badly.
create table quantumflow.consumer_process (
  consumer_group text not null,
  slot           text not null,  -- what only one process at a time can be: an instance, a host and port
  started_at     timestamptz not null default clock_timestamp(),
  primary key (consumer_group, slot));

-- After such an end messages are handled one at a time, each noted here first: what is found noted was in hand then.
create table quantumflow.crash_note (
  cursor_id int not null references quantumflow.cursor,
  msg_id    bigint not null,
  run       bigint not null,  -- of the process that noted it last
  runs      int not null,     -- that had it in hand
  noted_at  timestamptz not null default clock_timestamp(),
  primary key (cursor_id, msg_id));

-- What people did to messages by hand: the only way a message leaves without having been consumed.
create table quantumflow.operator_action (
  id         bigint generated always as identity primary key,
  at         timestamptz not null default clock_timestamp(),
  actor      text not null default session_user,
  action     text not null check (action in ('purge', 'retry')),
  cursor_id  int not null references quantumflow.cursor,
  message_id bigint not null,
  body       text);

-- How many messages of each reader wait for another attempt, are dead, and were purged: the sums of its rows here. A statement
-- that changes them adds a row, so that nobody waits for another; count_messages() adds these up. Written by triggers alone.
create table quantumflow.aside_count (
  cursor_id int not null,  -- as in cursor_position
  retrying  bigint not null default 0,
  dead      bigint not null default 0,
  purged    bigint not null default 0);

-- Work that one at a time does for all: who has locked the row. Rejected: advisory locks, which any instance's role could take, and
-- stop it for ever without a trace.
create table quantumflow.upkeep (task text primary key);
insert into quantumflow.upkeep values ('rotate'), ('backlogs');

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
