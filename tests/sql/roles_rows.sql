\ir _roles.sql
create function public.proposal(id text) returns jsonb language sql as $$
  select jsonb_build_object('proposal_id', id, 'agent_type', 'T', 'code_change', jsonb_build_object('patch', 'x'), 'impact_score', 5,
                            'risk_score', 2, 'safety_profile', '{}'::jsonb, 'priority_score', 1)
$$;
select singularity.submit(i, proposal(i || '-1'), 10) ->> 'outcome' as ok from unnest('{alpha,beta}'::text[]) i \g /dev/null
select centralcloud.heartbeat('beta', '1', '{voter}') \gset
select centralcloud.receive_proposal(proposal('beta-1') || '{"instance_id": "beta"}') \gset
create schema evil;
select format('grant all on schema evil to %I', current_database() || '_alpha') \gexec

\c :alpha
-- Its own partition, by functions and by tables; nothing of the others.
select expect(singularity.submit('alpha', proposal('alpha-2'), 10) ->> 'outcome', 'created', 'submits');
select refused($$select singularity.submit('beta', proposal('alpha-3'), 10)$$, 'acts for itself only, not for "beta"');
select expect(singularity.submit('alpha', proposal('beta-1'), 10), '{"outcome": "other"}'::jsonb, 'shows nothing of another''s');
select expect((select string_agg(distinct instance_id, ',') from singularity.proposal), 'alpha', 'rows of the table');
select expect((select string_agg(distinct instance_id, ',') from singularity.proposal_step), 'alpha', 'rows of its history');
select expect((select string_agg(instance_id, ',') from quantumflow.instance_role), 'alpha', 'who is enrolled');
select expect(singularity.find_proposal('alpha', 'beta-1'), null::jsonb, 'no other proposal');
select raises($$select singularity.submit('alpha', jsonb_build_object('proposal_id', 'big', 'code_change', repeat('x', 8388600)), 10)$$,
              'payload: expected at most 8388608 bytes of text');
-- Every function that an instance may call, with another's id.
do $$
declare f record; tried int := 0;
begin
  for f in select p.oid::regprocedure as name, p.proretset, array_to_string(array(
             select ', null::' || format_type(t, null) from unnest(p.proargtypes[1:]) t), '') as others
             from pg_proc p where p.proargnames[1] in ('instance_id', 'instance') and has_function_privilege(p.oid, 'execute')
              and p.pronamespace in ('quantumflow'::regnamespace, 'singularity'::regnamespace, 'centralcloud'::regnamespace)
  loop
    perform public.refused(format('select %s(''beta''%s)', split_part(f.name::text, '(', 1), f.others), 'acts for itself only, not for "beta"');
    perform public.refused(format('select %s(null%s)', split_part(f.name::text, '(', 1), f.others), 'acts for itself only, not for "NULL"');
    tried := tried + 1;
  end loop;
  perform public.expect(tried > 45, true, tried || ' functions tried');
end $$;
select expect(centralcloud.heartbeat('alpha', '1', '{voter}') is null, false, 'says that it lives');

-- No table can be written, none of the coordinators' or the queue's read; no other function called. Tables found, not listed.
do $$
declare t record; f regprocedure; tried int := 0;
begin
  for t in select c.oid::regclass as name, c.relnamespace::regnamespace::text as schema, c.relkind,
                  (select quote_ident(attname) from pg_attribute a where a.attrelid = c.oid and attnum = 1) as first_column
             from pg_class c where c.relkind in ('r', 'v')
              and c.relnamespace in ('quantumflow'::regnamespace, 'singularity'::regnamespace, 'centralcloud'::regnamespace)
  loop
    perform public.expect(has_table_privilege(t.name, 'insert, update, delete'), false, t.name::text);
    if t.relkind = 'r' then
      perform public.refused(format('insert into %s default values', t.name));
      perform public.refused(format('update %s set %s = default', t.name, t.first_column));
      perform public.refused(format('delete from %s', t.name));
      perform public.refused(format('truncate %s', t.name));
    end if;
    if t.schema <> 'singularity' and t.name::text not in ('quantumflow.instance_role', 'quantumflow.schema_migration') then
      perform public.refused(format('select from %s', t.name));
    end if;
    tried := tried + 1;
  end loop;
  perform public.expect(tried > 35, true, tried || ' tables tried');
  for f in select p.oid from pg_proc p where p.pronamespace = 'centralcloud'::regnamespace and p.proname <> 'heartbeat' loop
    perform public.expect(has_function_privilege(f, 'execute'), false, f::text);
  end loop;
  foreach f in array '{quantumflow.append_many,quantumflow.instance_stream,quantumflow.find_or_add_stream,quantumflow.declare_queue,quantumflow.add_cursor,
                       quantumflow.set_aside,quantumflow.bury,quantumflow.move_cursor,quantumflow.take_due_retries,
                       quantumflow.enroll,quantumflow.unenroll,quantumflow.rotate_password,singularity.step,singularity.must_step}'::regproc[]
  loop
    perform public.expect(has_function_privilege(f, 'execute'), false, f::text);
  end loop;
end $$;
select refused($$select nextval('quantumflow.message_id')$$);
select refused($$select setval('quantumflow.message_id', 1)$$);
select refused($$select centralcloud.start_rollback('r', 'beta-1', 'x', '{}', '{}', 'alpha', null)$$);
select refused($$select centralcloud.decide('beta-1', 'approved', 'consensus', '', 1, 'alpha')$$);
select refused($$select centralcloud.record_vote('beta-1', 'beta', 'approve', 1, '', now())$$);
select refused($$select quantumflow.append_many(null, '{}')$$);
select refused($$select quantumflow.enroll('gamma', 'x')$$);

-- No other role can be taken on, no object made, no policy lifted.
select refused(format('set role %I', r)) from unnest(array['quantumflow_owner', 'centralcloud', 'centralcloud_readonly', current_database() || '_beta']) r;
select refused(format('set session authorization %I', current_database() || '_beta'));
set role singularity_agent;
select expect(quantumflow.session_instance(), 'alpha', 'the group is no disguise');
select expect((select string_agg(distinct instance_id, ',') from singularity.proposal), 'alpha', 'nor does it see more');
reset role;
select refused('create function quantumflow.f() returns int language sql as ''select 1''');
select refused('create table singularity.t ()');
select refused('alter table singularity.proposal disable row level security', 'must be owner');
select refused('drop policy own_rows on singularity.proposal', 'must be owner');
set row_security = off;
select refused('select count(*) from singularity.proposal', 'row-level security');
reset row_security;

-- Shadows: objects of the same names, of the caller's making, first in its search_path, are not what our functions use.
-- It may even have a schema of its own, for functions and operators.
create function evil.octet_length(text) returns int language sql as 'select 0';
create function evil.pg_has_role(name, name, text) returns boolean language sql as 'select false';
create function evil.yes(name, name) returns boolean language sql as 'select true';
create function evil.no(text, text) returns boolean language sql as 'select false';
create operator evil.= (leftarg = name, rightarg = name, function = evil.yes);
create operator evil.<> (leftarg = text, rightarg = text, function = evil.no);
create temp table instance_role (role_name name, instance_id text);
insert into instance_role values (session_user, 'beta');
create domain pg_temp.text as pg_catalog.text check (value = current_user);  -- would tell that it ran, and as whom
set search_path = evil, pg_temp, quantumflow, singularity, pg_catalog;
select public.refused($$select quantumflow.publish('votes_for_consensus_queue', '{"proposal_id": "p", "instance_id": "beta"}')$$, 'publishes as itself only');
select public.expect(quantumflow.publish('votes_for_consensus_queue', '{"proposal_id": "p", "instance_id": "alpha"}') > 0, true, 'publishes all the same');
select public.refused($$select singularity.submit('beta', public.proposal('x'), 10)$$, 'acts for itself only');
select public.refused($$select * from quantumflow.take('rollback_triggers_queue', 'beta')$$, 'takes as itself only');
drop domain pg_temp.text;
set search_path = evil, quantumflow, singularity, pg_catalog;
select public.expect((select string_agg(distinct p.instance_id, ',') from singularity.proposal p where p.instance_id <> 'alpha'), null::text, 'no row of beta');
reset search_path;

-- A member of the group whom nobody enrolled, and somebody else altogether.
\c :stray
select refused($$select quantumflow.publish('votes_for_consensus_queue', '{"instance_id": "alpha"}')$$, 'is enrolled for no instance');
select refused($$select * from quantumflow.take('rollback_triggers_queue', 'alpha')$$, 'is enrolled for no instance');
select refused($$select singularity.pending('alpha', 1)$$, 'is enrolled for no instance');
select refused('select count(*) from singularity.proposal', 'is enrolled for no instance');
\c :nobody
select refused($$select quantumflow.publish('votes_for_consensus_queue', '{}')$$, 'permission denied for schema');
select refused('select * from centralcloud.proposals', 'permission denied for schema');

-- Readers see everything and change nothing.
\c :reader
select expect((select string_agg(distinct instance_id, ',' order by instance_id) from singularity.proposal), 'alpha,beta', 'every partition');
select expect((select count(*) from singularity.list_proposals('beta', null, 10, null)), 1::bigint, 'by functions');
select expect(centralcloud.proposal_story('beta-1') ->> 'instance_id', 'beta', 'the story');
select expect((select sum(pending) > 0 from quantumflow.list_queues()), true, 'queues');
do $$
declare t record;
begin
  for t in select c.oid::regclass as name from pg_class c where c.relkind in ('r', 'v')
              and c.relnamespace in ('quantumflow'::regnamespace, 'singularity'::regnamespace, 'centralcloud'::regnamespace)
  loop
    execute format('select count(*) from %s', t.name);
    perform public.expect(has_table_privilege(t.name, 'insert, update, delete, truncate'), false, t.name::text);
  end loop;
end $$;
select refused($$select quantumflow.publish('votes_for_consensus_queue', '{}')$$);
select refused($$select * from quantumflow.take('proposals_for_consensus_queue', 'centralcloud')$$);
select refused('select quantumflow.purge_dlq()');
select refused($$select singularity.submit('alpha', '{}', 1)$$);
select refused($$select centralcloud.set_safety_profile('T', '', '{}', 'x', 'x')$$);

-- Coordinators write through functions only, and not in the instances' partitions.
\c :coordinator
select refused('delete from centralcloud.audit_log');
select refused($$insert into centralcloud.decision values ('beta-1', 'approved', 'consensus', '', 1, '[]')$$);
select refused($$select singularity.submit('alpha', proposal('c'), 10)$$);
select refused($$select quantumflow.enroll('gamma', 'x')$$);
select refused('set role quantumflow_owner');
