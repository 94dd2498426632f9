\ir _queue.sql
-- What is listed is what waits, in every state of a reader; and a list costs what it shows, not what waits.
create extension if not exists dblink schema public;
\getenv url FLEET_CASE_URL
select public.dblink_connect('one', :'url'), public.dblink_connect('two', :'url') \gset
select public.dblink_exec('one', 'set search_path to quantumflow, public'), public.dblink_exec('two', 'set search_path to quantumflow, public') \gset
create function public.send(n bigint, to_queue text default 'voting_requests_queue') returns bigint language sql as $$
  select count(publish(to_queue, jsonb_build_object('n', i))) from generate_series(1, n) i $$;
-- Another session publishes, and commits later.
create function public.begin_sending(session text, n int) returns bigint language plpgsql as $$
begin
  perform public.dblink_exec(session, 'begin');
  return (select t.n from public.dblink(session, format('select public.send(%s)', n)) t(n bigint));
end $$;
create function public.listed_wrongly(of_queue text default 'voting_requests_queue') returns text language sql as $$
  with listed as (select message_id, recipient, consumer_group from list_pending_messages(of_queue, 100000) where state = 'pending'),
  waiting as (select msg_id, recipient, consumer_group from unread where queue_name = of_queue)
  select string_agg(d::text, ' ') from (
    (select 'listed', * from (select * from listed except all select * from waiting) l)
    union all (select 'left out', * from (select * from waiting except all select * from listed) w)) d $$;

-- A take gives one part, the late ones or those behind: until nothing is left.
create function public.take_all(of_queue text, reader text) returns void language plpgsql as $$
begin
  while (select count(*) > 0 from take(of_queue, reader, 10000)) loop null; end loop;
end $$;

-- Two readers: one inside a window with others' transactions before, in and behind it, one that has taken nothing.
select subscribe('voting_requests_queue', 'a'), subscribe('voting_requests_queue', 'b') \gset
select public.begin_sending('one', 3) \gset
select public.send(10) \gset
select expect((select count(*) from take('voting_requests_queue', 'a', 4)), 4::bigint, 'a window begins');
select expect(public.listed_wrongly(), null, 'in a window');
select expect((select count(*) from list_pending_messages('voting_requests_queue')), 16::bigint, 'six of one, ten of the other');
select public.begin_sending('two', 2) \gset
select public.dblink_exec('one', 'commit') \gset
select expect(public.listed_wrongly(), null, 'one that was in progress when the window began');
select public.send(5) \gset
select expect((select count(*) from take('voting_requests_queue', 'a', 3)), 3::bigint, 'on in the window');
select public.dblink_exec('two', 'commit') \gset
select expect(public.listed_wrongly(), null, 'one that began after it');
select public.begin_sending('one', 4) \gset
select public.take_all('voting_requests_queue', 'a') \gset
select expect(public.listed_wrongly(), null, 'its end');
select public.send(6) \gset
select public.dblink_exec('one', 'commit') \gset
select expect((select count(*) from take('voting_requests_queue', 'a', 2)), 2::bigint, 'inside the late ones');
select expect(public.listed_wrongly(), null, 'inside the late ones');
select expect((select array_agg(message_id) from list_pending_messages('voting_requests_queue', 3)),
              (select array_agg(message_id) from (select message_id from list_pending_messages('voting_requests_queue', 100000) limit 3) l),
              'a short list is the beginning of the long one');

-- A backlog, of which part is taken; what failed, and what waits behind it.
select count(*) from rotate('0 s') \gset
select expect(move_laggards('0 s') > 0, true, 'moved');
select public.send(3) \gset
select expect(public.listed_wrongly(), null, 'backlogs');
select expect((select count(*) from take('voting_requests_queue', 'b', 5)), 5::bigint, 'of the backlog');
select expect(public.listed_wrongly(), null, 'of the backlog');
begin;
select message_id as failing from take('voting_requests_queue', 'b', 1) \gset
select fail(:failing, 'why', 3, 60000) \gset
commit;
select expect((select (message_id, attempts, consumer_group, due_at > clock_timestamp())::text from list_pending_messages('voting_requests_queue') where state = 'retrying'),
              format('(%s,1,b,t)', :failing), 'its retry');
select expect(public.listed_wrongly(), null, 'beside it');
-- Nobody reads it yet; one instance alone.
select public.send(2, 'learning_loop_completed_queue') \gset
select expect(public.listed_wrongly('learning_loop_completed_queue'), null, 'no reader');
select publish('consensus_results_queue', '{"n": 1}', 'alpha'), publish('consensus_results_queue', '{"n": 1}', 'beta') \gset
select expect(public.listed_wrongly('consensus_results_queue'), null, 'addressed');
select expect((select string_agg(recipient, ' ' order by recipient) from list_pending_messages('consensus_results_queue')), 'alpha beta', 'whose they are');

-- ── What it costs ──────────────────────────────────────────────────────────────────────────────────────────────────
-- Times say little on a busy machine: every body that is parsed is counted, and every block that is read.
create sequence public.parses;
grant usage on sequence public.parses to quantumflow_owner;
create or replace function quantumflow.payload_of(body text) returns jsonb language plpgsql immutable strict parallel safe as $$
begin
  perform nextval('public.parses');
  return body::jsonb;
end $$;
create function public.parses_of(statement text) returns bigint language plpgsql as $$
declare before bigint := nextval('public.parses');
begin
  execute statement;
  return nextval('public.parses') - before - 1;
end $$;
create function public.blocks_of(statement text) returns bigint language plpgsql as $$
declare plan jsonb;
begin
  execute statement;  -- what a session reads once, the catalogue
  execute 'explain (analyze, buffers, format json) ' || statement into plan;
  return (plan #>> '{0,Plan,Shared Hit Blocks}')::bigint + (plan #>> '{0,Plan,Shared Read Blocks}')::bigint;
end $$;
create function public.cost_of(statement text, max_parses bigint, max_blocks bigint) returns text language sql as $$
  select nullif(concat_ws(', ', case when p > max_parses then p || ' parses' end, case when b > max_blocks then b || ' blocks' end), '')
    from (select public.parses_of(statement) as p, public.blocks_of(statement) as b) c $$;

\set page 'select * from list_pending_messages(''patterns_for_aggregator_queue'', 10)'
create function public.send_many(n int) returns bigint language sql as $$
  select count(publish_many('patterns_for_aggregator_queue', array(select format('{"n": %s, "pad": "%s"}', i, repeat('x', 200)) from generate_series(1, 10000) i)))
    from generate_series(1, n / 10000) $$;
select public.send_many(30000) \gset
select expect(public.cost_of(:'page', 10, 250), null, 'the first 10 of 30,000');
-- Deep in a window, whose beginning is still in the log.
select count(*) from (select take('patterns_for_aggregator_queue', 'centralcloud', 9000) from generate_series(1, 3)) t \gset
select expect((select win is not null from position where queue_name = 'patterns_for_aggregator_queue'), true, 'in a window');
select expect(public.cost_of(:'page', 10, 250), null, 'in a window');
-- Behind a transaction that was in progress.
select public.dblink_exec('one', 'begin') \gset
select n from public.dblink('one', 'select public.send_many(20000)') t(n bigint) \gset
select public.take_all('patterns_for_aggregator_queue', 'centralcloud') \gset
select public.dblink_exec('one', 'commit') \gset
select expect(public.cost_of(:'page', 10, 250), null, 'what came late');
-- In a backlog.
select count(*) from rotate('0 s') \gset
select expect(move_laggards('0 s') >= 20000, true, 'moved');
select expect(public.cost_of(:'page', 10, 250), null, 'in a backlog');
-- What failed.
select public.take_all('patterns_for_aggregator_queue', 'centralcloud') \gset
insert into retry (cursor_id, xid, msg_id, enqueued_at, body, attempts, due_at)
select cursor_id, '1', 1000000000 + i, clock_timestamp(), format('{"n": %s, "pad": "%s"}', i, repeat('x', 200)), 1, clock_timestamp() + interval '1 day'
  from reader, generate_series(1, 20000) i where queue_name = 'patterns_for_aggregator_queue';
select expect(public.cost_of(:'page', 10, 250), null, 'retries');
insert into dead_letter (cursor_id, xid, msg_id, enqueued_at, body, attempts, reason, errors)
select cursor_id, '1', 1000000000 + i, clock_timestamp(), format('{"n": %s, "pad": "%s"}', i, repeat('x', 200)), 1, 'rejected', '[]'
  from reader, generate_series(1, 20000) i where queue_name = 'patterns_for_aggregator_queue';
select expect(public.cost_of('select * from list_dlq_messages(null, 10)', 10, 100), null, 'dead letters');
select expect(public.cost_of('select * from list_dlq_messages(''patterns_for_aggregator_queue'', 10)', 10, 100), null, 'those of a queue');
