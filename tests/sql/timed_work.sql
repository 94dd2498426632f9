\ir _queue.sql
\getenv url FLEET_CASE_URL
create extension if not exists dblink schema public;
select public.dblink_connect('other', :'url') \gset
set search_path to centralcloud, public;
-- What time decides, while a backlog of votes and samples waits: it locks what it takes and nothing else, looks at no body that
-- waits, and does not decide over the head of what was said in time.
create function public.proposals(prefix text, n int) returns void language sql as $$
  insert into centralcloud.proposal (proposal_id, instance_id, agent_type, body, deadline)
  select prefix || k, 'a', 'T', '{"safety_profile": {}}', clock_timestamp() from generate_series(1, n) k $$;
create function public.publish_votes(ids text[], n int) returns bigint language sql as $$
  select sum(cardinality(quantumflow.publish_many('votes_for_consensus_queue', batch))) from (
    select array_agg(format('{"proposal_id": "%s", "reason": "%s"}', ids[1 + k % cardinality(ids)], repeat('r', 500))) as batch
      from generate_series(1, n) k group by k / 5000) b $$;
create function public.lockable(kind text) returns bigint language sql as $$
  select n from public.dblink('other', format('select count(*) from (select from centralcloud.%I for update skip locked) s', kind)) t(n bigint) $$;
create function public.in_lane(key text, of_lane int) returns boolean language sql as $$ select quantumflow.lane_of(key, 8) = of_lane $$;

-- 200 votes are due and 20,000 messages wait that were published before: nothing is decided, at once, and nothing locked.
select proposals('due', 200) \gset
select publish_votes(array_agg('due' || k), 20000) from generate_series(1, 200) k \gset
update proposal set deadline = clock_timestamp();
set statement_timeout = '5 s';
begin;
select expect((select count(*) from take_due_vote()), 0::bigint, 'votes in time come first');
select expect(lockable('proposal'), 200::bigint, 'none is locked');
commit;
-- Published after the deadlines, they hold up nobody; one is locked.
update proposal set deadline = clock_timestamp() - interval '1 hour';
begin;
select expect((select count(*) from take_due_vote()), 1::bigint, 'one is due');
select expect(lockable('proposal'), 199::bigint, 'one is locked');
-- Who records votes of the others waits for nothing.
select n from public.dblink('other', $$select count(disposition) from generate_series(1, 200) k
  cross join lateral centralcloud.record_vote('due' || k, 'a', 'approve', 1, 'r', now())
  where 'due' || k in (select proposal_id from centralcloud.proposal for update skip locked)$$) t(n int) \gset
select expect(:n, 199, 'votes recorded meanwhile');
rollback;
-- A group of somebody else's that reads no vote holds up nobody, either.
select quantumflow.subscribe('votes_for_consensus_queue', 'outsider') \gset
do $$ begin loop exit when not exists (select from quantumflow.take('votes_for_consensus_queue', 'centralcloud', 10000)); end loop; end $$;
select quantumflow.publish('votes_for_consensus_queue', '{"proposal_id": "due1"}') \gset
update proposal set deadline = clock_timestamp();
select count(*) from quantumflow.take('votes_for_consensus_queue', 'centralcloud') \gset
select expect((select count(*) from take_due_vote()), 1::bigint, 'the coordinators have read all');

-- A lane that waits holds up its own proposals only; a message that fails, those of its key only.
delete from vote;
delete from proposal where proposal_id <> all (array(select proposal_id from proposal where in_lane(proposal_id, 0) limit 2))
  and proposal_id <> (select min(proposal_id) from proposal where in_lane(proposal_id, 1));
select min(proposal_id) filter (where in_lane(proposal_id, 0)) as first, max(proposal_id) filter (where in_lane(proposal_id, 0)) as second,
       max(proposal_id) filter (where in_lane(proposal_id, 1)) as apart from proposal \gset
select publish_votes(array[:'first'], 1) \gset
update proposal set deadline = clock_timestamp() + case when proposal_id = :'apart' then interval '1 ms' else '0' end;
select pg_sleep(0.01) \gset
select expect((select proposal_id from take_due_vote()), :'apart'::text, 'the other lane''s');
begin;
select quantumflow.fail((select message_id from quantumflow.take('votes_for_consensus_queue', 'centralcloud')), 'boom', 3, 60000) \gset
commit;
delete from proposal where proposal_id = :'apart';
select expect((select proposal_id from take_due_vote()), :'second'::text, 'what waits for a retry is of the other one');
delete from proposal where proposal_id = :'second';
select expect((select count(*) from take_due_vote()), 0::bigint, 'and holds that one up');

-- The same for windows that end, and for silence.
select proposals('watched', 200) \gset
select count(record_sample('watched' || k, 'a', 'applied', '{}', '{"error_rate": 0}', clock_timestamp(), 60000)) from generate_series(1, 200) k \gset
select count(quantumflow.publish('metrics_to_guardian_queue', jsonb_build_object('proposal_id', 'watched' || 1 + k % 200))) from generate_series(1, 2000) k \gset
update change set watch_until = clock_timestamp();
begin;
select expect((select count(*) from confirm_due_change()), 0::bigint, 'samples in time come first');
select expect(lockable('change'), 200::bigint, 'no change is locked');
update change set watch_until = clock_timestamp() + interval '1 hour', last_sample_at = clock_timestamp() - interval '3 s';
commit;
create function public.published(at timestamptz) returns void language sql as $$
  update quantumflow.message_0 m set enqueued_at = at
   where m.stream_id = any (array(select unnest(q.shared_streams) from quantumflow.queue q where q.name = 'metrics_to_guardian_queue')) $$;
select published(clock_timestamp() + interval '1 hour') \gset
begin;
select expect((select count(*) from take_silent_change(1000)), 1::bigint, 'what came after a silence does not end it before it is read');
select expect(lockable('change'), 199::bigint, 'one is locked');
rollback;
select published(clock_timestamp() - interval '1.5 s') \gset
begin;
select expect((select count(*) from take_silent_change(1000)), 0::bigint, 'samples that wait are heard first');
select expect(lockable('change'), 200::bigint, 'none is locked by that');
update change set watch_until = clock_timestamp() - interval '1 hour';
select expect((select count(*) from confirm_due_change()), 1::bigint, 'a window that ended before');
rollback;

-- A window begins when the change was applied, however late that is read: not in the time to come, not before the decision, and what
-- the instance reported since is read before the window ends.
select proposals('late', 5) \gset
update proposal set state = 'approved', decided_at = clock_timestamp() - interval '20 min', received_at = clock_timestamp() - interval '21 min'
 where proposal_id like 'late%';
create function public.window_left(id text, reported_ago interval, window_length interval) returns int language plpgsql as $$
begin
  perform centralcloud.record_sample(id, 'a', 'applied', '{}', '{}', clock_timestamp() - reported_ago,
                                     (extract(epoch from window_length) * 1000)::bigint, 30000);
  return (select round(extract(epoch from c.watch_until - clock_timestamp()) / 10) * 10 from centralcloud.change c where c.proposal_id = id);
end $$;
select expect(window_left('late1', '5 min', '10 min'), 300, 'from the report');
select expect(window_left('late2', '-1 hour', '10 min'), 600, 'a clock that is ahead');
select expect(window_left('late3', '1 day', '30 min'), 600, 'a clock that is behind: from the decision');
select expect(window_left('late4', '15 min', '10 min'), 30, 'over, and what was reported since is still to be read');
select expect(window_left('late5', '15 min', '10 s'), 10, 'a short one is not made longer');

-- Who records votes has proposals in hand in one order, who records samples in another: neither waits for the other's.
select proposals('both', 2) \gset
begin;
select disposition from record_vote('both1', 'a', 'approve', 1, 'r', now()) \gset
select public.dblink_exec('other', 'begin; set local lock_timeout = ''2 s''') \gset
select * from public.dblink('other', $$select disposition from centralcloud.record_sample('both2', 'a', 'applied', '{}', '{}', now(), 0)$$) t(d text) \gset
select * from public.dblink('other', $$select disposition from centralcloud.record_sample('both1', 'a', 'applied', '{}', '{}', now(), 0)$$) t(d text) \gset
select expect(:'d'::text, 'recorded', 'a sample beside a vote');
select disposition from record_vote('both2', 'a', 'approve', 1, 'r', now()) \gset
commit;
select public.dblink_exec('other', 'commit') \gset
select public.dblink_disconnect('other') \gset
