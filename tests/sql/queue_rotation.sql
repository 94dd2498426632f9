\ir _queue.sql
create extension if not exists dblink schema public;
\getenv url FLEET_CASE_URL
-- A second session of the same database.
select public.dblink_connect('other', :'url') \gset
select public.dblink_exec('other', 'set search_path to quantumflow, public') \gset
create function public.states() returns text language sql as $$ select string_agg(state, ' ' order by segment) from quantumflow.segments() $$;
create function public.publish_some(first int, last int) returns bigint language sql as $$
  select count(publish('patterns_for_aggregator_queue', jsonb_build_object('n', n))) from generate_series(first, last) n $$;
create function public.take_some(max int default 1000) returns text language sql as $$
  select string_agg(payload ->> 'n', ' ') from take('patterns_for_aggregator_queue', 'centralcloud', max) $$;
create function public.totals() returns text language sql as $$
  select (published_total, pending, consumed_total)::text from get_queue_stats('patterns_for_aggregator_queue') $$;

-- An empty segment is not left, one that is young and small neither.
select count(*) from rotate('0 s') \gset
select expect(states(), 'current empty empty', 'nothing to rotate');
select publish_some(1, 10) \gset
select count(*) from rotate('1 h') \gset
select expect(states(), 'current empty empty', 'young');
select count(*) from rotate('1 h', 8192) \gset
select expect(states(), 'closed current empty', 'larger than its bound');

-- What a reader has left holds the segment, and the reason is on record.
select count(*) from rotate('0 s') \gset
select expect(states(), 'held current empty', 'held');
select expect((select held_by from segments() where segment = 0),
              '1 reader(s) have messages left in it, for example "centralcloud" of queue patterns_for_aggregator_queue', 'by whom');
select publish_some(11, 12) \gset
select count(*) from rotate('0 s') \gset
select publish_some(13, 14) \gset
select count(*) from rotate('0 s') \gset
select expect(states(), 'held held current', 'no third one is free: publishers stay');
begin;
select expect(take_some(5), '1 2 3 4 5', 'first batch');
commit;
select count(*) from rotate('0 s') \gset
select expect(states(), 'held held current', 'a window in progress holds');
begin;
select expect(take_some(5), '6 7 8 9 10', 'the rest of segment 0');
commit;
select count(*) from rotate('0 s') \gset
select expect(states(), 'current held closed', 'exactly read: truncated, and publishers go on');
begin;
select expect(take_some(), '11 12 13 14', 'over two segments');
commit;
select count(*) from rotate('0 s') \gset
select expect(states(), 'current empty empty', 'all truncated');
select expect(totals(), '(14,0,14)', 'totals are kept');

-- One who takes holds the locks for long: rotation gives up after its bound, and a rollback still has its messages.
select publish_some(15, 16) \gset
select count(*) from rotate('0 s') \gset
select public.dblink_exec('other', 'begin') \gset
select n from public.dblink('other', 'select count(*) from take(''patterns_for_aggregator_queue'', ''centralcloud'')') t(n bigint) \gset
select expect(:n, 2, 'taken elsewhere');
select clock_timestamp() as before \gset
select count(*) from rotate('0 s', lock_timeout_ms => 50) \gset
select expect(clock_timestamp() - :'before' < '2 s', true, 'gave up');
select expect(states(), 'held current empty', 'an open take holds it');
select public.dblink_exec('other', 'commit') \gset
-- Test and truncation at once: a reader with an open transaction that has read all, and no more than that.
select public.dblink_exec('other', 'begin') \gset
select n from public.dblink('other', 'select count(*) from take(''patterns_for_aggregator_queue'', ''centralcloud'')') t(n bigint) \gset
select count(*) from rotate('0 s', lock_timeout_ms => 50) \gset
select expect((select held_by like 'its lock was not free: process % has used it for %' from segments() where segment = 0), true, 'who');
select expect((select held_seconds between 0 and 5 from segments() where segment = 0), true, 'since when');
-- Who is at it for long already is not waited for at all.
do $$ begin while quantumflow.oldest_user(0, '1 s') is null loop perform pg_sleep(0.01); end loop; end $$;
select clock_timestamp() as before \gset
select count(*) from rotate('0 s', lock_timeout_ms => 20000) \gset
select expect(clock_timestamp() - :'before' < '5 s', true, 'no request for the lock behind which all would wait');
select public.dblink_exec('other', 'commit') \gset
select expect((select string_agg(state, ' ') from rotate('1 h')), 'empty current empty', 'free again');

-- A publisher that looked at `current_segment` before the switch writes to the old segment afterwards, before or after its
-- TRUNCATE: late, not lost. Its second half is played here, since nothing makes publish() stop between the two.
select public.dblink_exec('other', 'begin') \gset
select publish_some(17, 17) \gset
select count(*) from rotate('0 s') \gset
begin;
select expect(take_some(), '17', 'read');
commit;
select count(*) from rotate('1 h') \gset
select expect(states(), 'empty empty current', 'truncated under the late publisher');
select public.dblink_exec('other', $$insert into message_1 (stream_id, body) select stream_id, '{"n": 18}' from stream join queue using (queue_id)
                                      where name = 'patterns_for_aggregator_queue'$$) \gset
select count(*) from rotate('0 s') \gset
select public.dblink_exec('other', 'commit') \gset
select expect((select count(*) from message_1), 1::bigint, 'it wrote to the old segment');
select expect(totals(), '(18,1,17)', 'and is pending');
begin;
select expect(take_some(), '18', 'late, not lost');
commit;
-- It goes with the segment's next turn, and is counted.
select publish_some(19, 19) \gset
select count(*) from rotate('0 s') \gset
select publish_some(20, 20) \gset
begin;
select expect(take_some(), '19 20', 'read');
commit;
select count(*) from rotate('0 s') \gset
select count(*) from rotate('0 s') \gset
select publish_some(21, 21) \gset
select count(*) from rotate('0 s') \gset
begin;
select expect(take_some(), '21', 'read');
commit;
select count(*) from rotate('1 h') \gset
select expect(totals(), '(21,0,21)', 'counted once');

-- Messages between two snapshots, of one segment.
select count(*) from rotate('1 h') \gset
select pg_current_snapshot() as seen \gset
select publish_some(22, 24) \gset
select expect((select sum(n)::bigint from current_segment c, count_between(:'seen', of_segment => c.last_value::int)), 3::bigint, 'those that came late');
select expect((select sum(n) from current_segment c, count_between(pg_current_snapshot(), of_segment => c.last_value::int)) is null, true, 'none came late');

-- A reader that is being added holds it, too: rotation cannot see its cursor yet.
begin;
select expect(take_some(), '22 23 24', 'read');
commit;
select count(*) from rotate('0 s') \gset
select public.dblink_exec('other', 'begin') \gset
select n from public.dblink('other', 'select 1 from subscribe(''voting_requests_queue'', ''new-instance'')') t(n int) \gset
select expect((select string_agg(state, ' ') from rotate('1 h', lock_timeout_ms => 20)) like '%held%', true, 'an uncommitted reader');
select public.dblink_exec('other', 'commit') \gset
select expect((select string_agg(state, ' ') from rotate('1 h')) like '%held%', false, 'a committed one that needs nothing');

-- One at a time.
select public.dblink_exec('other', 'begin') \gset
select n from public.dblink('other', 'select count(*) from rotate()') t(n int) \gset
select expect((select count(*) from rotate()), 0::bigint, 'another is at it');
select public.dblink_exec('other', 'rollback') \gset
begin isolation level repeatable read;
select raises('select rotate()', 'rotate: needs READ COMMITTED');
rollback;
select expect(current_setting('lock_timeout'), '0', 'the caller''s own lock_timeout is as it was');
-- TRUNCATE resets the age of the segment's xids, which autovacuum is kept from doing.
select expect((select bool_and(reloptions @> '{autovacuum_enabled=off}') from pg_class
                where relnamespace = 'quantumflow'::regnamespace and relname like 'message__' and relkind = 'r'), true, 'autovacuum');
do $$ begin for i in 1..50 loop perform pg_current_xact_id(); commit; end loop; end $$;
select expect((select min(age(relfrozenxid)) >= 50 from pg_class where relname ~ '^message_.$'), true, 'ages while it is not truncated');
select publish_some(0, 0) \gset
select count(*) from rotate('0 s') \gset
begin;
select expect(take_some(), '0', 'read');
commit;
select count(*) from rotate('1 h') \gset
select expect((select min(age(relfrozenxid)) < 10 from pg_class where relname ~ '^message_.$'), true, 'young again');
select public.dblink_disconnect('other') \gset
