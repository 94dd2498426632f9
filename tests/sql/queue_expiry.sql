\ir _queue.sql
-- An instance that was silent for so long: what waits for it becomes dead letters, and it may come back.
create function public.publish_some(first int, last int) returns bigint language sql as $$
  select count(publish('voting_requests_queue', jsonb_build_object('proposal_id', 'p' || n % 2, 'n', n))) from generate_series(first, last) n $$;
create function public.take_some(who text, queue text default 'voting_requests_queue') returns text language sql as $$
  select string_agg(payload ->> 'n', ' ') from take(queue, who, 1000) $$;
-- As if so much time had gone by.
create function public.age(by interval) returns void language sql as $$
  update quantumflow.backlog set enqueued_at = enqueued_at - by;
  update quantumflow.cursor_position set taken_at = taken_at - by;
  update quantumflow.retry set due_at = due_at - by;
$$;
create function public.to_backlog() returns int language plpgsql as $$
begin
  perform rotate('0 s');
  perform rotate('0 s');
  return move_laggards('0 s');
end $$;
select count(*) from (values ('alive'), ('gone'), ('idle')) v(who), subscribe('voting_requests_queue', who) \gset
select count(publish('rollback_triggers_queue', jsonb_build_object('proposal_id', 'p', 'n', n), 'gone')) from generate_series(101, 102) n \gset
select publish_some(1, 4) \gset
begin;
select expect(take_some('idle'), '1 2 3 4', 'idle has read all');
commit;
begin;
create temp table batch on commit drop as select * from take('voting_requests_queue', 'gone', 1);
select fail((select message_id from batch), 'boom', 3, 20) \gset
commit;
select public.to_backlog() \gset
select expect((select count(*) from expire_instances('7 days')), 0::bigint, 'nobody is silent yet');
select public.age('8 days') \gset
select publish_some(5, 6) \gset
begin;
select expect(take_some('alive'), '1 2 3 4', 'alive is late, but at work');
commit;
select expect((select string_agg((instance, dead_letters)::text, ' ') from expire_instances('7 days')), '(gone,8)',
              'the retry, three of the backlog, two of the log, two sent to it alone');
select expect((select string_agg(payload ->> 'n', ' ' order by message_id) from list_dlq_messages()
                where reason = 'recipient_expired' and consumer_group = 'gone'), '101 102 1 2 3 4 5 6', 'dead letters');
select expect((select (attempts, errors -> 0 ->> 'error', error)::text from list_dlq_messages() where payload ->> 'n' = '1'),
              '(1,boom,"the instance took nothing for 7 days")', 'with its history');
select expect((select (published_total, pending, retrying, dlq, consumed_total, readers)::text from get_queue_stats('voting_requests_queue')),
              '(6,4,0,6,8,3)', 'each message of each reader is somewhere');
select expect((select count(*) from expire_instances('7 days')), 0::bigint, 'once');

-- Broadcasts are not kept for it; what is sent to it alone is.
select publish_some(7, 8) \gset
select count(publish('rollback_triggers_queue', '{"proposal_id": "p", "n": 103}', 'gone')) \gset
begin;
select expect(take_some('alive'), '5 6 7 8', 'alive');
commit;
begin;
select expect(take_some('idle'), '5 6 7 8', 'idle');
commit;
select public.to_backlog() \gset
select expect((select string_agg(distinct payload ->> 'n', ' ') from unread u, lateral (select u.body::jsonb as payload) b), '103', 'kept');
select expect((select bool_or(state in ('held', 'closed')) from rotate('1 h')), false, 'it holds nothing');

-- Retrying for one that is not there says so; what was sent to it alone waits for it again.
select raises(format('select retry_dlq_message(%s)', id), 'the instance "gone" of dead letter') from list_dlq_messages() where payload ->> 'n' = '5';
select retry_dlq_message(id) as retried from list_dlq_messages() where payload ->> 'n' = '101' \gset
select expect((select count(*) from expire_instances('7 days')), 0::bigint, 'it is given its time again');

-- It comes back, without subscribing again: from now on.
begin;
select expect(take_some('gone'), null, 'nothing of the past');
commit;
select publish_some(9, 9) \gset
begin;
select expect(take_some('gone'), '9', 'from now on');
select expect(take_some('gone', 'rollback_triggers_queue'), '101 103', 'what was sent to it');
commit;
select retry_dlq_message(id) as retried from list_dlq_messages() where payload ->> 'n' = '5' \gset
begin;
select expect(take_some('gone'), '5', 'and retried by hand');
commit;
select expect((select retired_at is null from cursor c join stream using (stream_id) join queue q on q.queue_id = c.queue_id
                where q.name = 'voting_requests_queue' and consumer_group = 'gone'), true, 'a reader as before');

-- In pieces, each a call of its own, one instance after the other; it is retired with the last.
select publish_some(11, 17) \gset
begin;
select expect(take_some('alive') || take_some('idle') is not null, true, 'the others have read it');
commit;
select public.to_backlog() \gset
select public.age('8 days') \gset
select expect((select (instance, dead_letters)::text from expire_instances('7 days', 100, 3)), '(gone,3)', 'three');
select expect((select (instance, dead_letters)::text from expire_instances('7 days', 100, 3)), '(gone,3)', 'three more');
select expect((select (instance, dead_letters)::text from expire_instances('7 days', 100, 3)), '(gone,1)', 'the last');
select expect((select count(*) from expire_instances('7 days', 100, 3)), 0::bigint, 'none is left');
select expect((select string_agg(payload ->> 'n', ' ' order by message_id) from list_dlq_messages() where consumer_group = 'gone' and (payload ->> 'n')::int between 11 and 17),
              '11 12 13 14 15 16 17', 'all of them, in order');
select expect((select retired_at is not null from cursor c join queue q on q.queue_id = c.queue_id
                where q.name = 'voting_requests_queue' and consumer_group = 'gone'), true, 'retired');
