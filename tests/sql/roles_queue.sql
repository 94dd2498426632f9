\ir _roles.sql
-- What waits for both instances and for the coordinators; one dead letter each.
select count(*) from unnest('{alpha,beta}'::text[]) i, unnest('{voting_requests_queue,rollback_triggers_queue}'::text[]) q,
                     quantumflow.subscribe(q, i) \gset
select count(quantumflow.publish('rollback_triggers_queue', jsonb_build_object('proposal_id', 'p', 'n', n, 'instance_id', i)))
  from unnest('{alpha,beta}'::text[]) i, generate_series(1, 2) n \gset
begin;
select count(quantumflow.reject(m.message_id, 'no good')) from unnest('{alpha,beta}'::text[]) i,
  quantumflow.take('rollback_triggers_queue', i, 1) m \gset
commit;
select quantumflow.publish('proposals_for_consensus_queue', '{"proposal_id": "p", "instance_id": "beta"}') as ok \gset
select d.id as beta_dead, d.message_id as beta_message
  from quantumflow.list_dlq_messages() d where d.consumer_group = 'beta' \gset
select cursor_id || ':' || (select max(seq) - 1 from quantumflow.cursor_position p where p.cursor_id = r.cursor_id) || ',' as beta_hand
  from quantumflow.reader r where consumer_group = 'beta' and queue_name = 'rollback_triggers_queue' \gset

\c :alpha
select expect(quantumflow.session_instance(), 'alpha', 'who I am');
-- Publishing: as itself, to what instances publish to.
select expect(quantumflow.publish('votes_for_consensus_queue', '{"proposal_id": "p", "instance_id": "alpha"}') > 0, true, 'own vote');
select refused($$select quantumflow.publish('votes_for_consensus_queue', '{"proposal_id": "p", "instance_id": "beta"}')$$, 'publishes as itself only; instance_id is "beta"');
select refused($$select quantumflow.publish('votes_for_consensus_queue', '{"proposal_id": "p"}')$$, 'publishes as itself only; instance_id is "NULL"');
select refused($$select quantumflow.publish('votes_for_consensus_queue', '{"instance_id": ["alpha"]}')$$, 'publishes as itself only');
select refused(format($$select quantumflow.publish(%L, '{"proposal_id": "p", "instance_id": "alpha"}', %L)$$, q, r), 'instances do not publish to')
  from (values ('consensus_results_queue', 'alpha'), ('rollback_triggers_queue', 'beta'), ('voting_requests_queue', null),
               ('guardian_safety_profiles_queue', 'alpha'), ('consensus_patterns_queue', null), ('learning_loop_completed_queue', null)) v(q, r);

-- Taking: its own only.
select refused($$select * from quantumflow.take('rollback_triggers_queue', 'beta')$$, 'takes as itself only, not as "beta"');
select refused($$select * from quantumflow.take('proposals_for_consensus_queue', 'centralcloud')$$, 'instances do not take from');
select refused($$select * from quantumflow.take('proposals_for_consensus_queue', 'alpha')$$, 'instances do not take from');
select refused($$select * from quantumflow.take_lane('rollback_triggers_queue', 'beta', 1)$$, 'takes as itself only');
select refused($$select quantumflow.subscribe('rollback_triggers_queue', 'beta')$$, 'takes as itself only');
select refused($$select quantumflow.subscribe('voting_requests_queue', 'centralcloud')$$, 'takes as itself only');
select refused($$select quantumflow.subscribe('votes_for_consensus_queue', 'alpha')$$, 'instances do not take from');
select refused($$select quantumflow.subscribe('voting_requests_queue', null)$$, 'takes as itself only');
select refused($$select quantumflow.lie_down('rollback_triggers_queue', 'beta', false)$$, 'takes as itself only');
select refused($$select quantumflow.get_up('rollback_triggers_queue', 'beta')$$, 'takes as itself only');
select refused($$select quantumflow.next_work_ms('rollback_triggers_queue', 'beta')$$, 'takes as itself only');
select refused($$select quantumflow.wake_channels('rollback_triggers_queue', 'beta')$$, 'takes as itself only');
-- Failing what another has in hand: the setting that says so is anybody's to set.
begin;
select set_config('quantumflow.in_hand', :'beta_hand', true) as ok \gset
savepoint forged;
select raises(format('select quantumflow.fail(%s, ''forged'')', :beta_message), 'was not taken in this transaction');
select raises(format('select quantumflow.reject(%s, ''forged'')', :beta_message), 'was not taken in this transaction');
rollback;

-- Seeing: its own only; the queues' depths are everybody's.
select expect((select string_agg(distinct consumer_group, ',') from quantumflow.list_pending_messages('rollback_triggers_queue')), 'alpha', 'pending');
select expect((select count(*) from quantumflow.list_pending_messages('proposals_for_consensus_queue')), 0::bigint, 'pending of others');
select expect((select string_agg(consumer_group, ',') from quantumflow.list_dlq_messages()), 'alpha', 'dead letters');
select expect((select count(*) from quantumflow.list_queues()), 10::bigint, 'queues');
select expect((select dlq from quantumflow.get_queue_stats('rollback_triggers_queue')), 2::bigint, 'depths');

-- Settling dead letters is for people.
select refused(format('select quantumflow.retry_dlq_message(%s)', :beta_dead));
select refused('select quantumflow.retry_dlq_message(1)');
select refused('select quantumflow.purge_dlq()');
select refused('select quantumflow.trim_positions()');

-- And it can do its own work to the end.
begin;
select expect((select count(quantumflow.fail(m.message_id, 'boom')) from quantumflow.take('rollback_triggers_queue', 'alpha') m), 1::bigint, 'own message');
commit;
select expect((select state from quantumflow.list_pending_messages('rollback_triggers_queue')), 'retrying', 'failed');

\c :coordinator
select expect(quantumflow.session_instance(), null::text, 'no instance');
select expect(quantumflow.publish('rollback_triggers_queue', '{"proposal_id": "p"}', 'alpha') > 0, true, 'publishes to all');
begin;
select expect((select count(*) from quantumflow.take('proposals_for_consensus_queue', 'centralcloud')), 1::bigint, 'takes its group''s');
commit;
select expect(quantumflow.retry_dlq_message(:beta_dead) > 0, true, 'retries');
select expect(quantumflow.purge_dlq(), 1::bigint, 'purges');
select expect((select string_agg(distinct actor, ',') from quantumflow.operator_action), session_user::text, 'on record by name');

-- The size of a payload.
select raises($$select quantumflow.publish('votes_for_consensus_queue', jsonb_build_object('x', repeat('x', 8388600)))$$, 'payload: expected at most 8388608 bytes of text, got 8388609');
select expect(quantumflow.publish('votes_for_consensus_queue', jsonb_build_object('x', repeat('x', 8388599))) > 0, true, 'just fits');
\c :owner
update quantumflow.queue set max_payload_bytes = 20 where name = 'voting_requests_queue';
\c :coordinator
select raises($$select quantumflow.publish('voting_requests_queue', '{"proposal_id": "12345"}')$$, 'payload: expected at most 20 bytes of text, got 24');
