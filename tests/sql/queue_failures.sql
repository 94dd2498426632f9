\ir _queue.sql
-- A failed message is retried after its delay, those behind it with the same key wait, others do not.
select count(publish('patterns_for_aggregator_queue', jsonb_build_object('code_pattern', jsonb_build_object('after', k), 'n', n))) as n
  from (values ('a', 1), ('b', 2)) v(k, n) \gset
begin;
create temp table batch on commit drop as select * from take('patterns_for_aggregator_queue', 'centralcloud');
select fail((select message_id from batch where payload ->> 'n' = '1'), 'boom', 3, 500) \gset
commit;
select count(publish('patterns_for_aggregator_queue', jsonb_build_object('code_pattern', jsonb_build_object('after', k), 'n', n))) as n
  from (values ('a', 3), ('c', 4)) v(k, n) \gset
begin;
select expect((select string_agg(payload ->> 'n', ',') from take('patterns_for_aggregator_queue', 'centralcloud')), '4', 'other keys pass');
commit;
select expect((select (pending, retrying)::text from get_queue_stats('patterns_for_aggregator_queue')), '(0,2)', 'waiting');
select expect(next_work_ms('patterns_for_aggregator_queue', 'centralcloud') between 0 and 610, true, 'due in 500 to 600 ms');
do $$ begin while next_work_ms('patterns_for_aggregator_queue', 'centralcloud') > 0 loop perform pg_sleep(0.01); end loop; end $$;
begin;
select expect((select string_agg((payload ->> 'n') || ':' || attempts, ' ') from take('patterns_for_aggregator_queue', 'centralcloud', 1)), '1:1', 'the oldest');
rollback;
begin;
select expect((select string_agg((payload ->> 'n') || ':' || attempts, ' ') from take('patterns_for_aggregator_queue', 'centralcloud')), '1:1 3:0',
              'retried, then the next of its key; a rollback counts no attempt');
commit;
select expect((select (consumed_total, retrying)::text from get_queue_stats('patterns_for_aggregator_queue')), '(4,0)', 'all consumed');

-- What was parked is next where what it waited behind was taken alone.
select count(publish('patterns_for_aggregator_queue', jsonb_build_object('code_pattern', jsonb_build_object('after', 'p'), 'n', n))) as n
  from (values (5), (6), (7)) v(n) \gset
begin;
select fail(message_id, 'boom', 3, 500) from take('patterns_for_aggregator_queue', 'centralcloud', 1) \gset
commit;
begin;
select expect((select count(*) from take('patterns_for_aggregator_queue', 'centralcloud')), 0::bigint, 'all wait');
commit;
do $$ begin while next_work_ms('patterns_for_aggregator_queue', 'centralcloud') > 0 loop perform pg_sleep(0.005); end loop; end $$;
begin;
select expect((select string_agg(payload ->> 'n', ' ') from take('patterns_for_aggregator_queue', 'centralcloud', 1)), '5', 'the first, alone');
commit;
select expect(next_work_ms('patterns_for_aggregator_queue', 'centralcloud'), 0::bigint, 'the next one can be taken');
begin;
select expect((select string_agg(payload ->> 'n', ' ') from take('patterns_for_aggregator_queue', 'centralcloud')), '6 7', 'those behind it');
commit;
select expect(next_work_ms('patterns_for_aggregator_queue', 'centralcloud'), null::bigint, 'none is left');

-- The last attempt leads to the dead-letter queue, with the history.
select publish('votes_for_consensus_queue', '{"proposal_id": "p"}') as poison \gset
do $$
declare m record;
begin
  for attempt in 1..4 loop
    while coalesce(quantumflow.next_work_ms('votes_for_consensus_queue', 'centralcloud'), 1) > 0 loop perform pg_sleep(0.005); end loop;
    select * into strict m from quantumflow.take('votes_for_consensus_queue', 'centralcloud');
    perform public.expect(m.attempts, attempt - 1, 'attempts before');
    perform quantumflow.fail(m.message_id, 'error ' || attempt, 3, 1);
    commit;
  end loop;
end $$;
select expect((select (reason, error, attempts, jsonb_array_length(errors))::text from list_dlq_messages('votes_for_consensus_queue')),
              '(retries_exhausted,"error 4",4,4)', 'dead letter');
select expect((select message_id from list_dlq_messages()), :poison::bigint, 'its message');
select expect(retry_dlq_message((select id from list_dlq_messages())), :poison::bigint, 'retried by hand');
begin;
select expect((select attempts from take('votes_for_consensus_queue', 'centralcloud')), 0, 'a new set of attempts');
select reject(:poison, 'vote: expected "approve" or "reject"') \gset
commit;
select expect((select (reason, attempts)::text from list_dlq_messages()), '(rejected,1)', 'rejected at once');
select expect(purge_dlq('proposals_for_consensus_queue'), 0::bigint, 'purge of another queue');
select expect(purge_dlq(), 1::bigint, 'purged');
select expect((select (consumed_total, purged_total, dlq)::text from get_queue_stats('votes_for_consensus_queue')), '(0,1,0)', 'counters');
select expect((select count(*) from operator_action where actor = session_user and action = 'purge' and body is not null), 1::bigint, 'on record');

select raises('select fail(123456789, ''x'')', 'message 123456789 was not taken in this transaction');
select raises('select retry_dlq_message(123456789)', 'there is no dead letter');

-- Backoff: doubles, at most 20 % jitter, capped at 60 s.
select expect((select bool_and(backoff(1000, n) between d and least(d * 1.2, '60 s')) from
  (values (0, interval '1 s'), (1, '2 s'), (2, '4 s'), (5, '32 s')) v(n, d)), true, 'backoff');
select expect((select max(backoff(1000, 50))), interval '60 s', 'cap');

-- Positions that were replaced can be trimmed, and what was consumed stays consumed.
select expect(trim_positions() > 0, true, 'trimmed');
select expect((select consumed_total from get_queue_stats('patterns_for_aggregator_queue')), 7::bigint, 'totals after trimming');
begin;
select expect((select count(*) from take('patterns_for_aggregator_queue', 'centralcloud')), 0::bigint, 'nothing again');
commit;

-- A consumer with nothing to do is told to wait for a publish, also right after a retry was consumed (it must not spin).
select publish('votes_for_consensus_queue', '{"proposal_id": "quiet"}') as message \gset
begin;
select expect((select count(*) from take('votes_for_consensus_queue', 'centralcloud')), 1::bigint, 'taken');
select fail(:message, 'once', 3, 1) \gset
commit;
do $$ begin while next_work_ms('votes_for_consensus_queue', 'centralcloud') > 0 loop perform pg_sleep(0.005); end loop; end $$;
begin;
select expect((select count(*) from take('votes_for_consensus_queue', 'centralcloud')), 1::bigint, 'retried');
commit;
select expect(next_work_ms('votes_for_consensus_queue', 'centralcloud'), null::bigint, 'nothing to do');
select expect(next_work_ms('proposals_for_consensus_queue', 'centralcloud'), null::bigint, 'never had anything');
