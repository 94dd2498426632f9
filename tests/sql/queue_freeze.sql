\ir _queue.sql
-- What prevents wraparound may come over the log at any time: freezing changes no message's place. Between takes, in a window, and
-- over transactions that are in progress.
create extension if not exists dblink schema public;
\getenv url FLEET_CASE_URL
select public.dblink_connect('other', :'url') \gset
select public.dblink_exec('other', 'set search_path to quantumflow, public') \gset
create function public.send(first int, last int) returns bigint language sql as $$
  select count(publish('patterns_for_aggregator_queue', jsonb_build_object('n', n))) from generate_series(first, last) n $$;
create function public.take_some(max int) returns text language sql as $$
  select string_agg(payload ->> 'n', ' ') from take('patterns_for_aggregator_queue', 'centralcloud', max) $$;

select public.send(1, 4) \gset
select age(relfrozenxid) as age_before from pg_class where oid = 'quantumflow.message_0'::regclass \gset
vacuum (freeze) quantumflow.message_0;
select expect((select age(relfrozenxid) < :age_before from pg_class where oid = 'quantumflow.message_0'::regclass), true, 'frozen');
select expect(public.take_some(2), '1 2', 'a window begins');
vacuum (freeze) quantumflow.message_0;
select expect(public.take_some(1), '3', 'on in the window');

-- Published before the freeze, committed after it.
select public.dblink_exec('other', 'begin') \gset
select n from public.dblink('other', 'select public.send(5, 7)') t(n bigint) \gset
select public.send(8, 9) \gset
vacuum (freeze) quantumflow.message_0;
select expect(public.take_some(10), '4', 'the end of the window');
select expect(public.take_some(10), '8 9', 'the next one');
vacuum (freeze) quantumflow.message_0;
select expect(public.take_some(10), null, 'not committed yet');
select public.dblink_exec('other', 'commit') \gset
vacuum (freeze) quantumflow.message_0;
select expect(public.take_some(2), '5 6', 'late ones');
vacuum (freeze) quantumflow.message_0;
select expect(public.take_some(2), '7', 'the last of them');
select expect(public.take_some(2), null, 'nothing twice');
select expect((select (published_total, pending, consumed_total)::text from get_queue_stats('patterns_for_aggregator_queue')), '(9,0,9)', 'and nothing left out');
-- A rolled-back one does not come to life.
begin;
select public.send(10, 12) \gset
rollback;
vacuum (freeze) quantumflow.message_0;
select expect(public.take_some(2), null, 'never there');
