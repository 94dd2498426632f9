\ir _queue.sql
-- Totals are kept by counting each message once; they must equal what a count of everything says, whatever happened.
create extension if not exists dblink schema public;
\getenv url FLEET_CASE_URL
select public.dblink_connect('other', :'url') \gset
select public.dblink_exec('other', 'set search_path to quantumflow, public') \gset
create function public.send(n bigint, to_queue text default 'voting_requests_queue') returns bigint language sql as $$
  select count(publish(to_queue, jsonb_build_object('n', i))) from generate_series(1, n) i $$;
create function public.figures(of_queue text default 'voting_requests_queue') returns text language sql as $$
  select (published_total, pending, consumed_total)::text from get_queue_stats(of_queue) $$;
create function public.pending_by_count(of_queue text default 'voting_requests_queue') returns bigint language sql as $$
  select count(*) from unread where queue_name = of_queue $$;

select send(3) \gset
select expect(figures(), '(3,0,0)', 'nobody reads it, and all are counted');
select expect(count_messages(), 3::bigint, 'counted');
select expect(count_messages(), 0::bigint, 'once');
select expect(figures(), '(3,0,0)', 'the same figures after it');

-- A reader that comes later: what was there before is not for it, counted or not, committed late or not.
select send(2) \gset
select public.dblink_exec('other', 'begin') \gset
select n from public.dblink('other', 'select send(4)') t(n bigint) \gset
select subscribe('voting_requests_queue', 'a') \gset
select expect(figures(), '(5,0,0)', 'nothing for it yet');
select public.dblink_exec('other', 'commit') \gset
select expect(figures(), '(9,4,0)', 'committed after it came: for it');
select expect(count_messages(), 6::bigint, 'late ones are counted');
select expect(figures(), '(9,4,0)', 'and stay the same');
select expect(pending_by_count(), 4::bigint, 'as a count says');

-- One in progress when the others are counted is counted later, and none twice.
select public.dblink_exec('other', 'begin') \gset
select n from public.dblink('other', 'select send(1)') t(n bigint) \gset
select send(1) \gset
select expect(count_messages(), 1::bigint, 'the committed one');
select public.dblink_exec('other', 'commit') \gset
select expect(figures(), '(11,6,0)', 'both');
select expect(count_messages(), 1::bigint, 'the late one');
-- One's own uncommitted messages are not counted: they may still be taken back.
begin;
select send(5) \gset
select expect(count_messages(), 0::bigint, 'not before the commit');
rollback;
select expect(figures(), '(11,6,0)', 'taken back');

-- A take gives one part at a time: those that committed late, then the others. Whether these were late depends on what else
-- runs on the cluster.
begin;
select count(*) as first_part from take('voting_requests_queue', 'a') \gset
select count(*) as rest from take('voting_requests_queue', 'a') \gset
commit;
select expect(:first_part + :rest, 6, 'all that it was due');
select expect(figures(), '(11,0,6)', 'consumed');

-- A segment that is cut before its messages were counted.
select send(7) \gset
select expect((select count(*) from take('voting_requests_queue', 'a')), 7::bigint, 'taken');
select count(*) from rotate('0 s') \gset
select count(*) from rotate('1 h') \gset
select expect((select count(*) from message), 0::bigint, 'cut');
select expect(figures(), '(18,0,13)', 'and counted');
select expect(count_messages(), 0::bigint, 'not again');

-- Backlogs, dead letters, and one that was retired and is back.
select send(3) \gset
select count(*) from rotate('0 s') \gset
select expect(move_laggards('0 s'), 3, 'moved');
select expect(figures(), '(21,3,13)', 'moved is still pending');
update backlog set enqueued_at = enqueued_at - interval '8 days';
update cursor_position set taken_at = taken_at - interval '8 days';
select expect((select dead_letters from expire_instances()), 3::bigint, 'given up');
select send(2) \gset
select expect((select (published_total, pending, dlq, consumed_total)::text from get_queue_stats('voting_requests_queue')),
              '(23,0,3,13)', 'nothing is kept for it');
select subscribe('voting_requests_queue', 'a') \gset
select send(1) \gset
select expect((select (published_total, pending, dlq, consumed_total)::text from get_queue_stats('voting_requests_queue')),
              '(24,1,3,13)', 'from now on');
select expect(pending_by_count(), 1::bigint, 'as a count says');
select expect((select oldest_age_seconds between 0 and 60 from get_queue_stats('voting_requests_queue')), true, 'its age');

-- A queue that nobody has ever read does not grow for ever.
select send(4, 'learning_loop_completed_queue') \gset
select expect(figures('learning_loop_completed_queue'), '(4,4,0)', 'waits for the first reader');
select count(*) from rotate('0 s') \gset
select expect(move_laggards('0 s') >= 4, true, 'moved');
update backlog set enqueued_at = enqueued_at - interval '8 days';
update cursor_position set taken_at = taken_at - interval '8 days';
select count(*) from expire_instances() \gset
select expect((select (pending, dlq)::text from get_queue_stats('learning_loop_completed_queue')), '(0,4)', 'given up');
select expect((select errors -> -1 ->> 'error' from list_dlq_messages('learning_loop_completed_queue') limit 1),
              'nobody subscribed to the queue for 7 days', 'why');
select send(1, 'learning_loop_completed_queue') \gset
select subscribe('learning_loop_completed_queue', 'late') \gset
select expect((select string_agg(payload ->> 'n', ' ') from take('learning_loop_completed_queue', 'late')), '1', 'the first reader gets the rest');

-- Every queue, against a full count.
select expect((select bool_and(q.pending = (select count(*) from unread u where u.queue_name = q.queue_name)) from list_queues() q), true, 'all');

-- ── What is set aside ──────────────────────────────────────────────────────────────────────────────────────────────
-- Counted by differences: against the rows themselves, after everything that sets aside, brings back and takes away.
create function public.aside_agrees() returns boolean language sql as $$
  select bool_and((q.retrying, q.dlq, q.purged_total) = (
           (select count(*) from retry t join reader v using (cursor_id) where v.queue_name = q.queue_name and t.taken_by is null),
           (select count(*) from dead_letter t join reader v using (cursor_id) where v.queue_name = q.queue_name),
           (select count(*) from operator_action t join reader v using (cursor_id) where v.queue_name = q.queue_name and t.action = 'purge')))
    from list_queues() q $$;
create function public.aside(of_queue text) returns text language sql as $$
  select (retrying, dlq, purged_total)::text from get_queue_stats(of_queue) $$;
create function public.fail_all(to_queue text, retries int) returns bigint language sql as $$
  select count(fail(t.message_id, 'broken', retries, 1)) from take(to_queue, 'r', 1000) t $$;
select expect(public.aside_agrees(), true, 'so far');

select declare_queue('aside_queue', 'lanes', '{n}', 1, 'r') \gset
select send(20, 'aside_queue') \gset
select expect(public.fail_all('aside_queue', 5), 20::bigint, 'failed');
select expect(aside('aside_queue'), '(20,0,0)', 'they wait');
begin;
select fail_all('aside_queue', 0) \gset
select expect(aside('aside_queue'), '(0,20,0)', 'in the transaction that buried them');
rollback;
select expect(aside('aside_queue'), '(20,0,0)', 'taken back');
select pg_sleep(0.01) \gset
-- Some are taken and handled, the others fail again, in a transaction that is open while the figures are added up.
select public.dblink_exec('other', 'begin') \gset
select n from public.dblink('other', $$select fail_all('aside_queue', 0)$$) t(n bigint) \gset
select count_messages() \gset
select expect(aside('aside_queue'), '(20,0,0)', 'not committed yet');
select public.dblink_exec('other', 'commit') \gset
select expect(aside('aside_queue'), '(0,20,0)', 'buried');
select count_messages() \gset
select expect(aside('aside_queue'), '(0,20,0)', 'the same when added up');
select expect((select count(*) from (select cursor_id from aside_count group by 1 having count(*) > 1) several), 0::bigint, 'a row a reader');
select retry_dlq_message(id) as retried from list_dlq_messages('aside_queue', 1) \gset
select expect(aside('aside_queue'), '(1,19,0)', 'one goes back');
select expect((select count(*) from take('aside_queue', 'r')), 1::bigint, 'and is handled');
select trim_positions() \gset
select expect(aside('aside_queue'), '(0,19,0)', 'consumed');
select expect(purge_dlq('aside_queue'), 19::bigint, 'purged');
select expect(aside('aside_queue'), '(0,0,19)', 'gone');
select expect(public.aside_agrees(), true, 'all of it');

-- The age of what waits is that of the oldest retry.
select send(2, 'aside_queue') \gset
select fail_all('aside_queue', 5) \gset
update retry set enqueued_at = enqueued_at - interval '1 h'
 where msg_id = (select min(msg_id) from retry where taken_by is null);
select expect((select oldest_age_seconds::int / 60 from get_queue_stats('aside_queue')), 60, 'its age');

-- However many dead letters there are, the figures look at none of them.
insert into dead_letter (cursor_id, xid, msg_id, enqueued_at, body, attempts, reason, errors)
select v.cursor_id, '5', 100000 + i, clock_timestamp(), '{}', 1, 'rejected', '[]'
  from (select min(cursor_id) as cursor_id from reader where queue_name = 'aside_queue') v, generate_series(1, 5000) i;
select expect((select dlq from get_queue_stats('aside_queue')), 5000::bigint, 'all counted');
create function public.rows_read() returns bigint language sql as $$
  select sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::bigint from pg_stat_xact_user_tables
   where schemaname = 'quantumflow' and relname in ('dead_letter', 'operator_action') $$;
begin;
select rows_read() as before \gset
select count(*) from list_queues() \gset
select expect(rows_read(), :before::bigint, 'none looked at');
commit;
select expect(public.aside_agrees(), true, 'at the end');
