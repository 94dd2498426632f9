\ir _queue.sql
-- Many at once: ids in the order of the payloads, each message in the lane of its key, order per key kept.
select expect(cardinality(ids), 3, 'one id a payload') as ok, expect(ids[1] < ids[2] and ids[2] < ids[3], true, 'ids ascend') as ok2
  from publish_many('votes_for_consensus_queue', array['{"proposal_id": "p", "n": 1}', '{"proposal_id": "q", "n": 1}', '{"proposal_id": "p", "n": 2}']) ids \gset
select publish('votes_for_consensus_queue', '{"proposal_id": "p", "n": 3}') is not null as ok \gset
select publish_many('votes_for_consensus_queue', array['{"proposal_id": "p", "n": 4}'], array['p']) is not null as ok \gset
select expect((select count(distinct stream_id) from message where body::jsonb ->> 'proposal_id' = 'p'), 1::bigint, 'one lane a key');
begin;
select expect((select string_agg(payload ->> 'n', ',' order by message_id) from take('votes_for_consensus_queue', 'centralcloud')
                where payload ->> 'proposal_id' = 'p'), '1,2,3,4', 'order of p');
commit;

-- To instances, to everyone, and both.
select publish_many('consensus_results_queue', array['{"instance_id": "a"}', '{"instance_id": "b"}', '{"instance_id": "c"}'], null, array[null, 'd', null]) is not null as ok \gset
select expect((select string_agg(recipient, ',' order by message_id) from list_pending_messages('consensus_results_queue')), 'a,d,c', 'recipients');
select subscribe('guardian_safety_profiles_queue', 'a'), subscribe('guardian_safety_profiles_queue', 'b') \gset
select publish_many('guardian_safety_profiles_queue', array['{"n": 1}', '{"n": 2}'], null, array['b', null]) is not null as ok \gset
begin;
select expect((select string_agg(payload ->> 'n', ',') from take('guardian_safety_profiles_queue', 'a')), '2', 'a gets what goes to all');
select expect((select count(*) from take('guardian_safety_profiles_queue', 'b')), 2::bigint, 'b gets both');
commit;

-- What is refused, and leaves nothing behind.
select raises($$select publish_many('votes_for_consensus_queue', array['{"a": 1}', '[1]'])$$, 'payloads: expected JSON objects, got array');
select raises($$select publish_many('votes_for_consensus_queue', array['{"a": 1}', '{a}'])$$, 'payloads: expected JSON objects: invalid');
select raises($$select publish_many('votes_for_consensus_queue', array['{"a": 1}', null])$$, 'payloads: expected JSON objects, got NULL');
select raises($$select publish_many('votes_for_consensus_queue', null)$$, 'payloads: expected at most 10000');
select raises($$select publish_many('votes_for_consensus_queue', array['{}'], array['a', 'b'])$$, 'keys: expected one for each payload');
select raises($$select publish_many('votes_for_consensus_queue', array['{}'], null, array['a'])$$, 'recipient: queue');
select raises($$select publish_many('consensus_results_queue', array['{}'])$$, 'recipient: queue "consensus_results_queue" needs the instance');
select raises($$select publish_many('nowhere', array['{}'])$$, 'queue: there is no queue named "nowhere"');
select expect(publish_many('votes_for_consensus_queue', array[]::text[]), array[]::bigint[], 'none');
select expect((select pending from get_queue_stats('votes_for_consensus_queue')), 0::bigint, 'nothing of a refused batch');

-- Numbered publications: repeated, they change nothing and give the first ids.
select publish_once('spool of a', 1, 'votes_for_consensus_queue', array['{"n": 1}', '{"n": 2}']) as first_ids \gset
select expect(publish_once('spool of a', 1, 'votes_for_consensus_queue', array['{"n": 1}', '{"n": 2}']), :'first_ids'::bigint[], 'the same ids');
select publish_once('spool of a', 5, 'votes_for_consensus_queue', array['{"n": 3}']) is not null as ok \gset
select expect(publish_once('spool of a', 4, 'votes_for_consensus_queue', array['{"n": 9}']), array[]::bigint[], 'a number that was passed over');
select publish_once('spool of b', 1, 'votes_for_consensus_queue', array['{"n": 4}']) is not null as ok \gset
select expect((select count(*) from list_pending_messages('votes_for_consensus_queue')), 4::bigint, 'each once');
select raises($$select publish_once('spool of a', 6, 'votes_for_consensus_queue', array['[]'])$$, 'payloads:');
select expect(cardinality(publish_once('spool of a', 6, 'votes_for_consensus_queue', array['{"n": 5}'])), 1, 'a refused number is not used up');
-- Replaced positions are trimmed, the newest stays.
update producer_position set at = at - interval '5 minutes';
select expect(trim_producers(), 2::bigint, 'replaced positions');
select expect(publish_once('spool of a', 1, 'votes_for_consensus_queue', array['{"n": 1}']), array[]::bigint[], 'still known to be published');
select expect((select count(*) from list_pending_messages('votes_for_consensus_queue')), 5::bigint, 'still each once');

-- What is JSON and no jsonb stops nobody: it comes as a string, fails, is rejected and listed like others.
select subscribe('learning_loop_completed_queue', 'centralcloud') \gset
select count(publish_many('learning_loop_completed_queue', array[t], array['k'])) as n
  from unnest(array['{"a": "\u0000"}', '{"n": 1e200000}', '{"n": 3}']) t \gset
select publish('learning_loop_completed_queue', '{"b": "\u0000"}', key => 'k') is not null as ok \gset
select expect((select string_agg(jsonb_typeof(payload), ',' order by message_id) from list_pending_messages('learning_loop_completed_queue')), 'string,string,object,string', 'listed');
begin;
create temp table odd on commit drop as select * from take('learning_loop_completed_queue', 'centralcloud');
select expect((select string_agg(jsonb_typeof(payload), ',' order by message_id) from odd), 'string,string,object,string', 'taken');
select fail((select min(message_id) from odd), 'no object', 3, 1), reject((select max(message_id) from odd), 'no object') \gset
commit;
select expect((select payload #>> '{}' from list_dlq_messages('learning_loop_completed_queue')), '{"b": "\u0000"}', 'in the dead letters as it was');
