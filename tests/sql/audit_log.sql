-- The audit log: what is written to it, how its chains hold together, and who may change it (nobody).
\ir _roles.sql
set search_path to centralcloud, public;

-- One writer stays in one chain; each entry holds the hash of the one before.
select audit('me', 'test', 'p1', '{"n": 1}'), audit('me', 'test', 'p1', null);
select expect((select string_agg(format('%s/%s', chain, seq), ' ' order by audit_id) from audit_log where action = 'test'),
  (select format('1/%s 1/%s', max(seq) - 1, max(seq)) from audit_log where chain = 1), 'one chain, no gaps');
select expect((select count(*) from audit_log l where l.hash <> audit_hash(l)), 0::bigint, 'the hashes');
select expect((select count(*) from (select previous, lag(hash, 1, '') over (order by seq) as before from audit_log where chain = 1) l
  where previous <> before), 0::bigint, 'the links');

-- Whoever finds a chain in somebody's hand takes the next one, and waits for nobody.
select dblink_connect('other', :'owner'), dblink_exec('other', 'begin');
select * from dblink('other', $$select centralcloud.audit('other', 'test', 'p1', null)::text$$) t(x text) \gset
set statement_timeout = '2s';
select audit('me', 'second chain', 'p1', null);
reset statement_timeout;
select expect((select chain from audit_log where action = 'second chain'), 2, 'beside the one in hand');
select dblink_exec('other', 'rollback');
select audit('me', 'after a rollback', 'p1', null);
select expect((select count(*) from audit_log l where l.hash <> audit_hash(l)), 0::bigint, 'nothing of what was rolled back');
select expect((select max(seq) = count(*) from audit_log where chain = 1), true, 'and no gap');

begin isolation level repeatable read;
select raises($$select centralcloud.audit('me', 'test', null, null)$$, 'needs READ COMMITTED');
rollback;

-- Seals.
select expect((select entries from seal_audit('0')), (select count(*) from audit_log where chain > 0), 'a seal counts what it covers');
select expect((select count(*) from seal_audit('0')), 0::bigint, 'nothing new, no seal');
select audit('me', 'test', 'p1', null);
select expect((select count(*) from seal_audit('1 minute')), 0::bigint, 'not so soon again');
select head from seal_audit('0') \gset
select expect((select encode(hash, 'hex') from audit_log where chain = 0 order by seq desc limit 1), :'head', 'the head is the seal''s hash');

-- Nobody changes an entry: not the owner, and not where triggers are off for replicas.
set role quantumflow_owner;
select refused($$update centralcloud.audit_log set detail = '{}'$$, 'entries are only ever added');
select refused($$delete from centralcloud.audit_log where false$$, 'entries are only ever added');
select refused('truncate centralcloud.audit_log', 'entries are only ever added');
select refused('delete from quantumflow.operator_action', 'entries are only ever added');
reset role;
-- The role of the test may not set session_replication_role, which others would need, too.
select expect((select tgenabled::text from pg_trigger where tgrelid = 'centralcloud.audit_log'::regclass and tgname = 'append_only'), 'A', 'always on');
\c :coordinator
select refused($$insert into centralcloud.audit_log (actor) values ('x')$$);
select refused($$update centralcloud.audit_log set actor = 'x'$$);
select refused('truncate centralcloud.audit_log');
select refused($$select centralcloud.audit('x', 'x', null, null)$$);
select refused('select * from centralcloud.audit_chain for update');
\c :alpha
select refused('select * from centralcloud.audit_log');
select refused('select * from centralcloud.audit_chain for update');
select refused($$select centralcloud.audit('x', 'x', null, null)$$);
select refused($$select centralcloud.seal_audit('0')$$);
\c :owner
set search_path to centralcloud, public;

-- What operators do is in it, with the role that did it.
select quantumflow.rotate_password('beta', 'other'), quantumflow.unenroll('beta');
select expect((select string_agg(action || ' ' || (detail ->> 'instance_id'), ', ' order by audit_id) from audit_entries
  where action in ('enroll', 'rotate_password', 'unenroll') and role = session_user),
  'enroll alpha, enroll beta, rotate_password beta, unenroll beta', 'enrolments');
select expect((select count(*) from audit_entries where action in ('enroll', 'rotate_password') and detail::text like '%secret%'), 0::bigint, 'no passwords');
select expect((select string_agg(distinct action, ',') from audit_entries where detail ? 'checksum'), 'migrate', 'migrations');
-- Dead letters: one entry a call and queue, with what was in them.
select quantumflow.subscribe('proposals_for_consensus_queue', 'centralcloud'), quantumflow.subscribe('votes_for_consensus_queue', 'centralcloud') \gset
select quantumflow.publish('votes_for_consensus_queue', '{"proposal_id": "p", "instance_id": "i"}') from generate_series(1, 3) \g /dev/null
select count(quantumflow.reject(message_id, 'no')) from quantumflow.take('votes_for_consensus_queue', 'centralcloud') \g /dev/null
\c :coordinator
select quantumflow.retry_dlq_message((select min(id) from quantumflow.list_dlq_messages())) \g /dev/null
select quantumflow.purge_dlq() \g /dev/null
select public.expect((select string_agg(format('%s %s %s', role = session_user, action, detail - '{first_message_id,last_message_id,sha256}'::text[]), ', ' order by audit_id)
    from centralcloud.audit_entries where action like 'dlq%'),
  't dlq_retry {"queue": "votes_for_consensus_queue", "messages": 1}, t dlq_purge {"queue": "votes_for_consensus_queue", "messages": 2}', 'dead letters');

-- What an instance does with its proposals is in it, too.
\c :alpha
select singularity.submit('alpha', '{"proposal_id": "a1", "agent_type": "T", "code_change": {"files": {}}, "impact_score": 5, "risk_score": 2,
  "safety_profile": {}, "priority_score": 1}', 10) \g /dev/null
\c :owner
select public.expect((select format('%s %s %s', actor, role = current_database() || '_alpha', detail ->> 'to') from centralcloud.audit_entries
  where action = 'agent_step' and proposal_id = 'a1'), 'alpha t pending', 'an instance''s step');
select public.expect((select count(*) from centralcloud.audit_log l where l.hash <> centralcloud.audit_hash(l)), 0::bigint, 'all hashes');
