\ir _queue.sql
-- A take costs what it takes, wherever in a long log it stands: each scan begins at one bound of the index, in its order.
create function public.send_many(n int) returns bigint language sql as $$
  select count(publish_many('patterns_for_aggregator_queue', array(select format('{"n": %s, "pad": "%s"}', i, repeat('x', 100)) from generate_series(1, 10000) i)))
    from generate_series(1, n / 10000) $$;
create function public.blocks_of(plan jsonb) returns bigint language sql as $$
  select (plan #>> '{0,Plan,Shared Hit Blocks}')::bigint + (plan #>> '{0,Plan,Shared Read Blocks}')::bigint $$;
-- The first execution of a session counts, too: its plan is made for its values, unless that is pinned.
create function public.take_explained(max int, out rows bigint, out blocks bigint) language plpgsql as $$
declare plan jsonb;
begin
  execute format('explain (analyze, buffers, format json) select * from quantumflow.take_lane(%L, %L, %s)',
                 'patterns_for_aggregator_queue', 'centralcloud', max) into plan;
  rows := (plan #>> '{0,Plan,Actual Rows}')::bigint;
  blocks := public.blocks_of(plan);
end $$;
create function public.take_costs(max int, max_blocks bigint, what text, finds bigint default null) returns void language plpgsql as $$
declare t record;
begin
  t := public.take_explained(max);
  perform public.expect(t.rows, coalesce(finds, max), what);
  if t.blocks > max_blocks then raise exception '%: % blocks, expected at most %', what, t.blocks, max_blocks; end if;
end $$;

-- What a session reads of the catalogue the first time: some 1,900 blocks. The whole log below has more than 2,000, and its index 400.
select public.send_many(10000) \gset
\c
set search_path to quantumflow, public;
select blocks as catalogue from public.take_explained(1) \gset
select public.send_many(100000) \gset
-- 1000 rows are some 25 blocks of the table and 5 of the index, read twice: the batch, and its end.
\c
set search_path to quantumflow, public;
select public.take_costs(1000, :catalogue + 300, 'the first of a session');
select public.take_costs(1000, 300, 'the first of a log');
select count(*) from (select take('patterns_for_aggregator_queue', 'centralcloud', 9000) from generate_series(1, 9)) t \gset
\c
set search_path to quantumflow, public;
select public.take_costs(1000, :catalogue + 300, 'the first of a session, deep in a window');
select public.take_costs(1000, 300, 'deep in a window');
select public.take_costs(100, 150, 'few');

-- The plan of the scan, with the settings that a take has.
create function public.plan_of(statement text) returns jsonb language plpgsql
set enable_seqscan = off set enable_bitmapscan = off set jit = off set plan_cache_mode = force_generic_plan as $$
declare plan jsonb;
begin
  execute 'explain (format json) ' || statement into plan;
  return plan;
end $$;
create function public.nodes(plan jsonb) returns table (kind text, node jsonb) language sql as $$
  select n ->> 'Node Type', n from jsonb_path_query(plan, 'strict $.**') n where jsonb_typeof(n) = 'object' and n ? 'Node Type' $$;
prepare scan(int, xid8, bigint, pg_snapshot, int) as select * from read_log($1, $2, $3, $4, $5);
select public.plan_of('execute scan(1, ''5'', 7, ''1:1:'', 100)') as plan \gset
select expect((select count(*) from public.nodes(:'plan') where kind in ('Sort', 'Incremental Sort', 'Seq Scan', 'Bitmap Heap Scan', 'Bitmap Index Scan')), 0::bigint, 'in the order of the index: ' || :'plan');
select expect((select count(*) from public.nodes(:'plan') where kind like 'Index%Scan'), 3::bigint, 'a scan for each segment: ' || :'plan');
select expect((select bool_and(node ->> 'Index Cond' ~ 'ROW\((\w+\.)?xid, (\w+\.)?msg_id\) > ROW\(' and node ->> 'Index Cond' !~ 'xid >')
                 from public.nodes(:'plan') where kind like 'Index%Scan'), true, 'one lower bound: ' || :'plan');

-- Late ones, behind a transaction that was in progress: as many blocks, and none of what lies between.
create extension if not exists dblink schema public;
\getenv url FLEET_CASE_URL
select public.dblink_connect('other', :'url') \gset
select public.dblink_exec('other', 'set search_path to quantumflow, public') \gset
select public.dblink_exec('other', 'begin') \gset
select n from public.dblink('other', 'select public.send_many(20000)') t(n bigint) \gset
select public.send_many(50000) \gset
create function public.take_all() returns void language plpgsql as $$
begin
  while (select count(*) > 0 from take('patterns_for_aggregator_queue', 'centralcloud', 10000)) loop null; end loop;
end $$;
select public.take_all() \gset
select public.dblink_exec('other', 'commit') \gset
select public.take_costs(1000, 250, 'late ones');
select public.take_costs(1000, 250, 'more of the late ones');

-- An empty look, behind 180,000 that were taken.
select public.take_all() \gset
create function public.look_explained() returns bigint language plpgsql as $$
declare plan jsonb;
begin
  execute 'explain (analyze, buffers, format json) select quantumflow.next_work_ms(''patterns_for_aggregator_queue'', ''centralcloud'')' into plan;
  return public.blocks_of(plan);
end $$;
select public.look_explained() \gset
select expect(public.look_explained() <= 50, true, 'an idle look reads few blocks');

-- While many wait for another attempt, each of a key of its own: what is due is taken, what is new is taken, and what fails fails,
-- without a look at the others; with the plans of a session that began when none waited.
create function public.send_keyed(n int, what text) returns bigint language sql as $$
  select count(publish_many('patterns_for_aggregator_queue', array(
    select format('{"code_pattern": {"after": "%s %s"}}', what, i) from generate_series(1, n) i))) $$;
create function public.fail_explained(max int) returns bigint language plpgsql as $$
declare plan jsonb;
begin
  execute format('explain (analyze, buffers, format json) select quantumflow.fail(message_id, ''broken'', 3, 60000) from quantumflow.take_lane(%L, %L, %s)',
                 'patterns_for_aggregator_queue', 'centralcloud', max) into plan;
  return public.blocks_of(plan);
end $$;
create function public.retry_insert(n int, ordering_key text, attempts int, due_at text) returns void language plpgsql as $$
begin
  execute format('insert into quantumflow.retry (cursor_id, xid, msg_id, ordering_key, enqueued_at, body, attempts, due_at)
    select cursor_id, ''5'', nextval(''quantumflow.message_id''), %s, clock_timestamp(), format(''{"n": %%s, "pad": "%%s"}'', i, repeat(''x'', 100)), %s, %s
      from quantumflow.reader, generate_series(1, %s) i where queue_name = ''patterns_for_aggregator_queue''', ordering_key, attempts, due_at, n);
end $$;
create function public.failures_cost(max_blocks bigint, what text) returns void language plpgsql as $$
declare blocks bigint := public.fail_explained(10);
begin
  if blocks > max_blocks then raise exception '%: % blocks, expected at most %', what, blocks, max_blocks; end if;
end $$;
create function public.look_costs(max_blocks bigint, what text) returns void language plpgsql as $$
declare blocks bigint := public.look_explained();
begin
  if blocks > max_blocks then raise exception '%: % blocks, expected at most %', what, blocks, max_blocks; end if;
end $$;
select public.send_keyed(30, 'first') \gset
select public.fail_explained(1) \gset
vacuum analyze retry;
\c
set search_path to quantumflow, public;
select sum(public.fail_explained(1)) as failed from generate_series(1, 12) \gset
select public.take_explained(1) \gset
select public.retry_insert(50000, '''waits '' || i', 1,
  $$case when i % 1000 = 0 then clock_timestamp() else clock_timestamp() + interval '1 day' end$$) \gset
select public.failures_cost(1500, 'failures, with plans from when there were few');
select rows from public.take_explained(10) \gset
select expect(:rows, 10, 'due');
select public.take_costs(40, 1000, 'due retries');  -- 50,000 are 1,500 blocks
select public.take_all() \gset
select public.send_keyed(2000, 'new') \gset
select public.take_costs(100, 600, 'new ones, with their keys looked up');
select public.take_costs(100, 500, 'more of them');
select public.failures_cost(1500, 'failures');
select public.take_all() \gset
select public.look_explained() \gset
select public.look_costs(60, 'a look for when the next one is due');

-- As many are parked, behind one or behind a hundred that wait.
select public.retry_insert(50000, '''waits 1''', 0, 'null') \gset
select public.look_costs(70, 'behind one');
select public.take_costs(100, 200, 'nothing behind one', 0);
select public.retry_insert(50000, '''waits '' || (1 + i % 100)', 0, 'null') \gset
select public.look_costs(1000, 'behind a hundred');
select public.take_costs(100, 1500, 'nothing behind a hundred', 0);
select public.send_keyed(10, 'newer') \gset
select public.take_costs(10, 2000, 'new ones beside them');
-- All of a key come due, or what they wait behind is taken alone.
update retry set due_at = clock_timestamp() where ordering_key = 'waits 1';
update retry set due_at = null where ordering_key = 'waits 1' and attempts = 0;
select public.take_costs(100, 6000, 'the first of a key with many');
select public.look_costs(1000, 'parked ones are first');
select public.take_costs(100, 6000, 'parked ones');
-- As many are due.
update retry set due_at = clock_timestamp() where due_at is not null;
select public.look_costs(1100, 'all are due');
select public.take_costs(100, 6000, 'a hundred of 50,000 that are due');
