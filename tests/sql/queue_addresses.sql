\ir _queue.sql
-- To one instance: waits for it although it was never seen, and nobody else gets it.
select publish('consensus_results_queue', '{"proposal_id": "p", "instance_id": "a"}', 'a') is not null as ok \gset
select publish('consensus_results_queue', '{"proposal_id": "q", "instance_id": "b"}') is not null as ok \gset
select subscribe('consensus_results_queue', 'a'), subscribe('consensus_results_queue', 'b') \gset
begin;
select expect((select string_agg(payload ->> 'proposal_id', ',') from take('consensus_results_queue', 'a')), 'p', 'to a');
select expect((select string_agg(payload ->> 'proposal_id', ',') from take('consensus_results_queue', 'b')), 'q', 'recipient by instance_id');
commit;

-- To every instance: each that was subscribed when it was sent gets it once, later ones do not.
select subscribe('voting_requests_queue', 'a'), subscribe('voting_requests_queue', 'b') \gset
select publish('voting_requests_queue', '{"proposal_id": "r"}') is not null as ok \gset
select subscribe('voting_requests_queue', 'c') \gset
select expect((select count(*) from list_pending_messages('voting_requests_queue')), 2::bigint, 'waits for two');
begin;
select expect((select count(*) from take('voting_requests_queue', 'a')), 1::bigint, 'broadcast to a');
select expect((select count(*) from take('voting_requests_queue', 'c')), 0::bigint, 'c came later');
commit;
begin;
select expect((select count(*) from take('voting_requests_queue', 'a')), 0::bigint, 'once');
select expect((select count(*) from take('voting_requests_queue', 'b')), 1::bigint, 'b was away');
commit;
select subscribe('voting_requests_queue', 'b') \gset
begin;
select expect((select count(*) from take('voting_requests_queue', 'b')), 0::bigint, 'subscribing again changes nothing');
commit;

-- Both kinds in one queue.
select subscribe('guardian_safety_profiles_queue', 'a'), subscribe('guardian_safety_profiles_queue', 'b') \gset
select publish('guardian_safety_profiles_queue', '{"agent_type": "x"}') is not null as ok \gset
select publish('guardian_safety_profiles_queue', '{"agent_type": "y"}', 'a') is not null as ok \gset
begin;
select expect((select count(*) from take('guardian_safety_profiles_queue', 'a')), 2::bigint, 'own and broadcast');
select expect((select count(*) from take('guardian_safety_profiles_queue', 'b')), 1::bigint, 'broadcast alone');
commit;

-- A queue without readers keeps everything for the first that subscribes.
select publish('learning_loop_completed_queue', '{"timestamp": "t"}') is not null as ok \gset
select expect((select pending from get_queue_stats('learning_loop_completed_queue')), 1::bigint, 'unread is pending');
select subscribe('learning_loop_completed_queue', 'warehouse') \gset
select subscribe('learning_loop_completed_queue', 'second') \gset
begin;
select expect((select count(*) from take('learning_loop_completed_queue', 'warehouse')), 1::bigint, 'first reader');
select expect((select count(*) from take('learning_loop_completed_queue', 'second')), 0::bigint, 'later reader: from now on');
commit;

select raises($$select publish('nope', '{}')$$, 'there is no queue named "nope"');
select raises($$select publish('voting_requests_queue', '[1]')$$, 'payload: expected a JSON object, got array');
select raises($$select publish('voting_requests_queue', null)$$, 'payload: expected a JSON object, got NULL');
select raises($$select publish('rollback_triggers_queue', '{}')$$, 'recipient: queue "rollback_triggers_queue" needs the instance');
select raises($$select publish('voting_requests_queue', '{}', 'a')$$, 'recipient: queue "voting_requests_queue" goes to every instance');
select raises($$select publish('votes_for_consensus_queue', '{}', 'a')$$, 'recipient: queue "votes_for_consensus_queue" is shared');
select raises($$select publish('rollback_triggers_queue', '{}', repeat('x', 201))$$, 'recipient: expected 1 to 200 characters');
select raises($$select * from take('votes_for_consensus_queue', 'nobody')$$, 'consumer_group: "nobody" is not subscribed');
select raises($$select * from take('votes_for_consensus_queue', 'centralcloud', 0)$$, 'max: expected 1 to 10000');
select raises($$select subscribe('votes_for_consensus_queue', '')$$, 'consumer_group: expected 1 to 200 characters');
select raises($$select * from list_pending_messages('nope')$$, 'there is no queue named');
begin isolation level repeatable read;
select raises($$select * from take('votes_for_consensus_queue', 'centralcloud')$$, 'needs READ COMMITTED');
commit;
