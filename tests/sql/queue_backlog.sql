\ir _queue.sql
create extension if not exists dblink schema public;
\getenv url FLEET_CASE_URL
select public.dblink_connect('other', :'url') \gset
select public.dblink_exec('other', 'set search_path to quantumflow, public') \gset
create function public.publish_some(first int, last int) returns bigint language sql as $$
  select count(publish('voting_requests_queue', jsonb_build_object('proposal_id', 'p' || n % 2, 'n', n))) from generate_series(first, last) n $$;
create function public.take_some(who text, max int default 1000) returns text language sql as $$
  select string_agg(payload ->> 'n', ' ') from take('voting_requests_queue', who, max) $$;
create function public.rotate_all() returns text language plpgsql as $$
begin
  perform rotate('0 s');
  perform rotate('0 s');
  return (select string_agg(state, ' ' order by segment) from segments());
end $$;
create function public.in_backlog() returns text language sql as $$
  select coalesce(string_agg(c.consumer_group || ':' || n, ' ' order by 1), '-')
    from (select consumer_group, count(*) as n from unread u join backlog b using (cursor_id, msg_id) group by 1) c $$;
select count(*) from (values ('fast'), ('slow'), ('dead')) v(who), subscribe('voting_requests_queue', who) \gset

-- What a lagging reader has not read moves out of the way, from the middle of its window on; nobody else's does.
select publish_some(1, 6) \gset
begin;
select expect(take_some('fast'), '1 2 3 4 5 6', 'fast');
select expect(take_some('slow', 2), '1 2', 'slow begins');
commit;
select expect(rotate_all() like '%held%', true, 'held by two');
select expect(move_laggards('1 h'), 0, 'not yet old enough');
select publish_some(7, 8) \gset
select expect(move_laggards('0 s'), 8 + 4, 'moved: all of one, the rest of the window of the other');
select expect(public.in_backlog(), 'dead:8 slow:4', 'fast keeps up: nothing of it was moved');
select expect(move_laggards('0 s'), 0, 'nothing is left to move');
select expect((select string_agg(state, ' ') from rotate('1 h')), 'empty current empty', 'nobody holds it now');
select expect((select pending from get_queue_stats('voting_requests_queue')), 8 + 6 + 2::bigint, 'pending is what it was');
select expect((select count(*) from list_pending_messages('voting_requests_queue')), 16::bigint, 'and listed');
select expect(next_work_ms('voting_requests_queue', 'slow'), 0::bigint, 'there is work for it');

-- It is read before the log, in order, once; a rollback gives it back.
select publish_some(9, 10) \gset
begin;
select expect(take_some('slow', 4), '3 4 5 6', 'a batch of the backlog');
rollback;
begin;
select expect(take_some('slow', 4), '3 4 5 6', 'again');
commit;
-- More goes behind what is there.
select expect(rotate_all() like '%held%', true, 'held');
select expect(move_laggards('0 s') > 0, true, 'moved behind');
begin;
select expect(take_some('slow'), '7 8 9 10', 'the rest');
select expect(take_some('slow'), null, 'not twice in one transaction');
commit;
begin;
select expect(take_some('fast'), '7 8 9 10', 'fast');
commit;
select expect(next_work_ms('voting_requests_queue', 'slow'), null::bigint, 'nothing more');
select expect((select (max(b.seq), count(*))::text from backlog b join cursor c using (cursor_id) where consumer_group = 'slow'), '(8,8)', 'kept until trimmed');
select count(trim_positions()) \gset
select expect((select count(*) from backlog b join cursor c using (cursor_id) where consumer_group = 'slow'), 0::bigint, 'trimmed');
select publish_some(11, 11) \gset
begin;
select expect(take_some('slow'), '11', 'the log goes on');
commit;

-- A message of the backlog that fails is retried, and those of its key wait behind it; one that is rejected is a dead letter.
begin;
create temp table batch on commit drop as select * from take('voting_requests_queue', 'dead', 3);
select expect((select string_agg(payload ->> 'n', ' ') from batch), '1 2 3', 'dead is back');
select fail((select message_id from batch where payload ->> 'n' = '2'), 'boom', 3, 60000) \gset
select reject((select message_id from batch where payload ->> 'n' = '3'), 'bad') \gset
commit;
select expect((select count(*) from list_dlq_messages('voting_requests_queue') where payload ->> 'n' = '3'), 1::bigint, 'rejected');
begin;
select expect(take_some('dead', 4), '5 7', 'of four, those of the failed one''s key wait');
commit;
update retry set due_at = clock_timestamp() where attempts > 0;
begin;
select expect(take_some('dead', 1), '2', 'the retry first');
commit;
do $$
declare seen text := '';
begin
  for i in 1..20 loop
    seen := concat_ws(' ', seen, public.take_some('dead', 2));
    commit;
  end loop;
  perform public.expect((select string_agg(n, ' ') from regexp_split_to_table(seen, ' ') n where n <> '' and n::int % 2 = 0), '4 6 8 10', 'its key in order');
  perform public.expect((select string_agg(n, ' ') from regexp_split_to_table(seen, ' ') n where n <> '' and n::int % 2 = 1), '9 11', 'the other in order');
end $$;
select expect((select (pending, retrying, dlq)::text from get_queue_stats('voting_requests_queue')), '(1,0,1)', 'only fast has one left');

-- A cursor at work is passed over after the bound, and moved the next time; what its taker commits is not copied.
select publish_some(12, 15) \gset
select expect(rotate_all() like '%held%', true, 'held');
select public.dblink_exec('other', 'begin') \gset
select n from public.dblink('other', 'select take_some(''slow'', 1)') t(n text) \gset
begin;
select expect(take_some('fast'), '11 12 13 14 15', 'fast');
select expect(take_some('dead'), '12 13 14 15', 'dead');
commit;
select expect(move_laggards('0 s', lock_timeout_ms => 20), 0, 'in hand');
select public.dblink_exec('other', 'commit') \gset
select expect(move_laggards('0 s', max => 2), 2, 'in pieces');
select expect(move_laggards('0 s', max => 2), 1, 'the last piece');
select expect(public.in_backlog(), 'slow:3', 'all but what was taken');
begin;
select expect(take_some('slow'), '13 14 15', 'in order');
commit;

-- A stream that nobody reads yet keeps all for its first group.
select count(publish('learning_loop_completed_queue', jsonb_build_object('n', n))) from generate_series(1, 3) n \gset
select expect(rotate_all() like '%held%', true, 'held for whoever comes first');
-- Not while somebody is about to be the first: nobody would ever take that place over.
select public.dblink_exec('other', 'begin') \gset
select n from public.dblink('other', 'select 1 from subscribe(''learning_loop_completed_queue'', ''would-be'')') t(n int) \gset
select expect(move_laggards('0 s'), 0, 'left alone');
select public.dblink_exec('other', 'rollback') \gset
select expect(move_laggards('0 s'), 3, 'moved');
select publish('learning_loop_completed_queue', '{"n": 4}') \gset
select expect((select string_agg(state, ' ') from rotate('1 h')) like '%held%', false, 'free');
select expect((select pending from get_queue_stats('learning_loop_completed_queue')), 4::bigint, 'pending');
select subscribe('learning_loop_completed_queue', 'first') \gset
select subscribe('learning_loop_completed_queue', 'second') \gset
do $$
declare seen text := '';
begin
  for i in 1..3 loop
    seen := concat_ws(' ', seen, (select string_agg(payload ->> 'n', ' ') from quantumflow.take('learning_loop_completed_queue', 'first')));
    commit;
  end loop;
  perform public.expect(seen, ' 1 2 3 4', 'the first group has it all');
end $$;
begin;
select expect((select count(*) from take('learning_loop_completed_queue', 'second')), 0::bigint, 'the second starts at now');
commit;

-- What a transaction publishes that was open while the cursor was moved comes when it commits.
select public.dblink_exec('other', 'begin') \gset
select n from public.dblink('other', 'select publish_some(20, 20)') t(n bigint) \gset
select publish_some(21, 22) \gset
select count(*) from rotate('0 s') \gset
select expect(rotate_all() like '%held%', true, 'held');
select expect(move_laggards('0 s') > 0, true, 'moved');
select public.dblink_exec('other', 'commit') \gset
do $$
declare seen text := '';
begin
  for i in 1..3 loop seen := concat_ws(' ', seen, public.take_some('slow')); commit; end loop;
  perform public.expect(seen, ' 21 22 20', 'late, not lost');
end $$;
select public.dblink_disconnect('other') \gset
