\ir _queue.sql
-- What is published waits for the coordinators' group though none has run yet; taken in order per key; gone after COMMIT.
select count(publish('proposals_for_consensus_queue', jsonb_build_object('proposal_id', 'p' || g % 3, 'n', g))) as n
  from generate_series(1, 9) g \gset
select expect((select count(*) from list_pending_messages('proposals_for_consensus_queue')), 9::bigint, 'pending');
select expect((select count(*) from list_pending_messages('proposals_for_consensus_queue', 4)), 4::bigint, 'limited list');

begin;
create temp table taken on commit drop as
  select *, row_number() over () as place from take('proposals_for_consensus_queue', 'centralcloud');
select expect((select count(*) from taken), 9::bigint, 'taken from all lanes');
select expect((select bool_and(in_order) from (
  select message_id > coalesce(lag(message_id) over (partition by payload ->> 'proposal_id' order by place), 0) as in_order
    from taken) t), true, 'order per key');
select expect((select count(*) from take('proposals_for_consensus_queue', 'centralcloud')), 0::bigint, 'taken twice in one transaction');
rollback;

-- A rollback gives them back; a limit leaves the rest.
begin;
select expect((select count(*) from take('proposals_for_consensus_queue', 'centralcloud', 2)), 2::bigint, 'limited');
commit;
select expect((select pending from get_queue_stats('proposals_for_consensus_queue')), 7::bigint, 'rest pending');
begin;
select expect((select count(*) from take('proposals_for_consensus_queue', 'centralcloud', 7)), 7::bigint, 'rest');
commit;
select expect((select count(*) from list_pending_messages('proposals_for_consensus_queue')), 0::bigint, 'none pending');
select expect((select (published_total, consumed_total, pending, retrying, dlq)::text from list_queues()
                where queue_name = 'proposals_for_consensus_queue'), '(9,9,0,0,0)', 'counters');

-- What a handler publishes to the stream that it reads is not lost to it.
select publish('patterns_for_aggregator_queue', '{"n": 1}') is not null as ok \gset
begin;
select expect((select count(*) from take('patterns_for_aggregator_queue', 'centralcloud')), 1::bigint, 'first');
select publish('patterns_for_aggregator_queue', '{"n": 2}') is not null as ok \gset
commit;
begin;
select publish('patterns_for_aggregator_queue', '{"n": 3}') is not null as ok \gset
select expect((select count(*) from take('patterns_for_aggregator_queue', 'centralcloud')), 1::bigint, 'published while taking');
commit;
begin;
select expect((select string_agg(payload ->> 'n', ',') from take('patterns_for_aggregator_queue', 'centralcloud')), '3', 'own message');
commit;

-- A rolled-back publish was never there.
begin;
select publish('patterns_for_aggregator_queue', '{"n": 4}') is not null as ok \gset
rollback;
select expect((select pending from get_queue_stats('patterns_for_aggregator_queue')), 0::bigint, 'rolled back');

-- A text is kept as it is written; a jsonb as jsonb writes it. A key that is given counts, one that is not is read.
select publish('votes_for_consensus_queue', '{"proposal_id":"p",  "n":1}') as as_text, publish('votes_for_consensus_queue', '{"proposal_id":"p",  "n":2}'::jsonb) as as_jsonb,
       publish('votes_for_consensus_queue', '{"n":3}', key => 'p') as keyed, publish('votes_for_consensus_queue', '{"n":4}') as keyless \gset
select expect((select body from message where msg_id = :as_text), '{"proposal_id":"p",  "n":1}', 'as written');
select expect((select body from message where msg_id = :as_jsonb), '{"n": 2, "proposal_id": "p"}', 'as jsonb writes it');
select expect((select count(distinct stream_id) from message where msg_id in (:as_text, :as_jsonb, :keyed)), 1::bigint, 'one lane');
select expect((select s.lane from message m join stream s using (stream_id) where msg_id = :keyless), lane_of('', 8), 'the lane of the empty key');
select raises($$select publish('votes_for_consensus_queue', '[1]')$$, 'payload: expected a JSON object, got array');
select raises($$select publish('votes_for_consensus_queue', '{a}')$$, 'invalid input syntax for type json');
select raises($$select publish('votes_for_consensus_queue', null)$$, 'payload: expected a JSON object, got NULL');

-- Lanes that all have work take turns, mostly: by lot, some lane of eight would wait for more than 40 others in 800 takes.
select declare_queue('turns_queue', 'lanes', '{k}', 8, 'workers') \gset
select count(publish_many('turns_queue', array(select jsonb_build_object('k', k, 'n', n)::text from generate_series(1, 200) k))) from generate_series(1, 20) n \gset
create table turns (turn bigint generated always as identity, cursor_id int);
create procedure public.take_turns(n int) language plpgsql as $$ begin
  for turn in 1 .. n loop
    insert into turns (cursor_id) select cursor_id from take_lane('turns_queue', 'workers', 1);
    commit;
  end loop;
end $$;
call public.take_turns(800);
select expect(count(distinct cursor_id), 8::bigint, 'all of them') from turns;
select expect(max(waited) <= 40, true, 'the longest wait: ' || max(waited))
  from (select turn - lag(turn) over (partition by cursor_id order by turn) as waited from turns) t;
-- So does one that has failed messages to take again, which move its cursor over nothing.
select min(cursor_id) as one from turns \gset
select count(fail(message_id, 'again', 3, 1)) as failed from take_lane('turns_queue', 'workers', 100, :one) \gset
update retry set due_at = clock_timestamp();
truncate turns;
call public.take_turns(80);
select expect(count(*) <= 30, true, 'of 80 takes: ' || count(*)) from turns where cursor_id = :one;
select expect((select retrying from get_queue_stats('turns_queue')) < 100, true, 'and it was taken from, too');
-- A take of retries alone had none of the log's messages in hand.
select max(msg_id) as consumed from message m join reader r using (stream_id) where r.cursor_id = :one
   and m.msg_id not in (select msg_id from retry) and m.msg_id < (select min(msg_id) from retry) \gset
begin;
select count(*) as taken from take_lane('turns_queue', 'workers', 1, :one) \gset
select raises('select fail(' || :consumed || ', ''again'')', 'was not taken in this transaction');
rollback;
-- A lane whose batch is given back each time does not keep the others from being taken.
do $$
declare
  one int;
  taken int[] := '{}';
begin
  for turn in 1 .. 100 loop
    select cursor_id into one from take_lane('turns_queue', 'workers', 1);
    taken := taken || one;
    rollback;
  end loop;
  perform public.expect((select count(distinct t) > 1 from unnest(taken) t), true, 'only one lane was tried: ' || taken[1]);
end $$;
