-- Who may do what: the roles, what each is granted, and the rows that an instance sees. Grants decide which functions a role
-- may call; the functions (check_instance and its like, 0007) decide on whose behalf. sql/README.md has the table.

-- ── Roles ──────────────────────────────────────────────────────────────────────────────────────────────────────────

-- They belong to the cluster: another database may have made them, or be making them now, hence the exceptions.
do $$
declare name text;
begin
  foreach name in array '{quantumflow_owner,centralcloud,centralcloud_readonly,singularity_agent}'::text[] loop
    continue when exists (select from pg_roles r where r.rolname = name);
    begin
      execute format('create role %I nologin', name);
    exception when duplicate_object or unique_violation then null;
    end;
  end loop;
  if not pg_has_role(current_user, 'quantumflow_owner', 'member') then
    begin
      execute format('grant quantumflow_owner to %I', current_user);
    exception when unique_violation then null;
    end;
  end if;
exception when insufficient_privilege then
  raise exception 'role "%" may not make the roles that the schema needs: run sql/roles.sql as an administrator first', current_user
    using errcode = 'insufficient_privilege', detail = sqlerrm;
end $$;

-- So that rotation can name who holds a segment for long, whatever role that is; without it, it says less.
do $$ begin
  if not pg_has_role('quantumflow_owner', 'pg_read_all_stats', 'member') then grant pg_read_all_stats to quantumflow_owner; end if;
exception when insufficient_privilege or unique_violation then null;
end $$;

-- ── Enrolling an instance ──────────────────────────────────────────────────────────────────────────────────────────

-- These three run with the rights of who calls them (a superuser, or a member of quantumflow_owner with CREATEROLE), since
-- no function of ours should be able to make roles. What marks a role as ours is its comment: roles outlive databases.

create function quantumflow.role_mark(instance_id text) returns text language sql stable as $$
  select format('agent of instance %s in database %s', to_json(instance_id), to_json(current_database()))
$$;

-- Roles are shared by all databases of a cluster, so the name has the database in it. A role's name has at most 63 bytes.
create function quantumflow.role_name_of(instance_id text) returns text language sql stable as $$
  select case when octet_length(full_name) <= 63 then full_name
              else left(regexp_replace(full_name, '[^ -~]', '', 'g'), 54) || '_' ||
                   left(encode(sha256(convert_to(full_name, 'UTF8')), 'hex'), 8) end
    from (select current_database() || '_' || instance_id as full_name) n
$$;

-- password: in clear or, better, its SCRAM verifier. Returns the role's name.
create function quantumflow.enroll(instance_id text, password text) returns text language plpgsql as $$
declare
  role text := quantumflow.role_name_of(instance_id);
  mark text := quantumflow.role_mark(instance_id);
begin
  if coalesce(length(instance_id), 0) not between 1 and 200 or instance_id ~ '[[:cntrl:]]' then
    raise exception 'instance_id: expected 1 to 200 characters, none of them a control character'
      using errcode = 'invalid_parameter_value';
  elsif instance_id in ('centralcloud', 'broadcast') then
    raise exception 'instance_id: "%" is the name of something else', instance_id using errcode = 'invalid_parameter_value';
  elsif exists (select from quantumflow.instance_role r where r.instance_id = enroll.instance_id) then
    raise exception 'instance_id: "%" is enrolled already', instance_id
      using errcode = 'duplicate_object', hint = 'enroll --rotate-password gives it a new password';
  end if;
  if not exists (select from pg_roles r where r.rolname = role) then
    execute format('create role %I', role);
    execute format('comment on role %I is %L', role, mark);
  elsif mark is distinct from (select shobj_description(r.oid, 'pg_authid') from pg_roles r where r.rolname = role) then
    raise exception 'role: there is a role "%" already that is not the one of this instance', role
      using errcode = 'duplicate_object';
  end if;
  execute format('alter role %I login password %L', role, password);
  if not pg_has_role(role, 'singularity_agent', 'member') then execute format('grant singularity_agent to %I', role); end if;
  insert into quantumflow.instance_role (role_name, instance_id) values (role, enroll.instance_id);
  perform centralcloud.audit(session_user, 'enroll', null, jsonb_build_object('instance_id', enroll.instance_id, 'role', role));
  return role;
end $$;

create function quantumflow.enrolled_role(instance_id text) returns text language plpgsql stable as $$
declare role text := (select r.role_name from quantumflow.instance_role r where r.instance_id = enrolled_role.instance_id);
begin
  if role is null then
    raise exception 'instance_id: "%" is not enrolled', left(instance_id, 200) using errcode = 'undefined_object';
  end if;
  return role;
end $$;

create function quantumflow.rotate_password(instance_id text, password text) returns text language plpgsql as $$
declare role text := quantumflow.enrolled_role(instance_id);
begin
  execute format('alter role %I password %L', role, password);
  perform centralcloud.audit(session_user, 'rotate_password', null,
    jsonb_build_object('instance_id', rotate_password.instance_id, 'role', role));
  return role;
end $$;

-- Its messages stay. Sessions that it still has can do nothing from here on.
create function quantumflow.unenroll(instance_id text) returns text language plpgsql as $$
declare role text := quantumflow.enrolled_role(instance_id);
begin
  delete from quantumflow.instance_role r where r.instance_id = unenroll.instance_id;
  -- No longer one of the fleet, for people to look after. Where it still runs it can say nothing.
  delete from centralcloud.instance i where i.instance_id = unenroll.instance_id;
  execute format('alter role %I nologin password null', role);
  begin
    execute format('drop role %I', role);
  exception when dependent_objects_still_exist then
    -- It has made something for itself, a large object for example. What is left of it cannot log in, and is nobody here;
    -- enrolled again, the instance gets it back.
    execute format('revoke singularity_agent from %I', role);
  end;
  perform centralcloud.audit(session_user, 'unenroll', null, jsonb_build_object('instance_id', unenroll.instance_id, 'role', role));
  return role;
end $$;

-- ── Rows ───────────────────────────────────────────────────────────────────────────────────────────────────────────

-- Whoever reads tables directly. Functions run as the owner, whom policies do not bind: they check by themselves.
alter table quantumflow.instance_role enable row level security;
create policy own_row on quantumflow.instance_role for select to singularity_agent using (role_name = session_user);
grant select on quantumflow.instance_role to singularity_agent;  -- session_instance() runs as the caller in policies
create policy every_row on quantumflow.instance_role for select to centralcloud, centralcloud_readonly using (true);

do $$
declare partition regclass;
begin
  for partition in select a.attrelid::regclass from pg_attribute a join pg_class c on c.oid = a.attrelid
                    where c.relnamespace = 'singularity'::regnamespace and c.relkind = 'r' and a.attname = 'instance_id'
  loop
    execute format('alter table %s enable row level security', partition);
    execute format('create policy own_rows on %s for select to singularity_agent
                      using (instance_id = (select quantumflow.session_instance()))', partition);
    execute format('create policy every_row on %s for select to centralcloud, centralcloud_readonly using (true)', partition);
    execute format('grant select on %s to singularity_agent', partition);
  end loop;
end $$;

-- ── Owner; nothing for PUBLIC ──────────────────────────────────────────────────────────────────────────────────────

do $$
declare
  schema regnamespace;
  thing text;
begin
  foreach schema in array '{quantumflow,singularity,centralcloud}'::regnamespace[] loop
    execute format('alter schema %s owner to quantumflow_owner', schema);
    for thing in
      -- The sequence of an identity column follows its table.
      select format('table %s', c.oid::regclass) from pg_class c
       where c.relnamespace = schema and c.relkind in ('r', 'v', 'S')
         and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid
                            and d.refclassid = 'pg_class'::regclass and d.deptype in ('a', 'i'))
      union all
      select format('function %s', p.oid::regprocedure) from pg_proc p where p.pronamespace = schema
      union all
      select format('type %s', t.oid::regtype) from pg_type t join pg_class c on c.oid = t.typrelid
       where t.typnamespace = schema and c.relkind = 'c'
    loop
      execute format('alter %s owner to quantumflow_owner', thing);
    end loop;
    execute format('revoke all on schema %s from public', schema);
    execute format('revoke all on all tables in schema %s from public', schema);
    execute format('revoke all on all sequences in schema %s from public', schema);
    execute format('revoke all on all functions in schema %s from public', schema);
    execute format('grant usage on schema %s to singularity_agent, centralcloud, centralcloud_readonly', schema);
    execute format('grant select on all tables in schema %s to centralcloud, centralcloud_readonly', schema);
  end loop;
end $$;

-- For what later migrations make: each begins with `set local role quantumflow_owner`.
alter default privileges for role quantumflow_owner revoke all on functions from public;

-- ── Who may call what ──────────────────────────────────────────────────────────────────────────────────────────────

-- A function that somebody is granted becomes SECURITY DEFINER, with a search_path in which no object of the caller can
-- shadow ours. All others are internal: they run inside these, and nobody may call them.
do $$
declare
  entry record;
  fn regprocedure;
begin
  for entry in
    select g.schema, n.name, g.roles from (values
      ('quantumflow', 'singularity_agent, centralcloud',
       'publish publish_many publish_once begin_effect settle_effect begin_consuming end_consuming note_in_hand clear_note bury_crasher
        subscribe take take_lane fail reject next_work_ms lie_down get_up wake_channels'),
      ('quantumflow', 'singularity_agent, centralcloud, centralcloud_readonly',
       'is_at_home list_queues get_queue_stats list_pending_messages list_dlq_messages'),
      ('quantumflow', 'centralcloud',
       'retry_dlq_message purge_dlq trim_positions count_messages rotate segments move_laggards expire_instances'),
      ('singularity', 'singularity_agent',
       'submit pending in_flight track_records find_proposal mark_sent refuse_proposal record_decision next_execution begin_execution
        begin_step finish_step finish_applied fail_execution record_sample end_watch due_watches next_watch_ms
        record_watch report_metrics tell_metrics told_metrics unreported_samples mark_reported mark_unreportable
        request_rollback next_rollback begin_rollback begin_rollback_step finish_rollback_step postpone_rollback finish_rollback
        open_vote answer_vote
        mark_vote_cast waiting_votes next_vote fail_vote put_safety_profile safety_profiles put_pattern patterns
        steps_since accept_once trim_accepted claim_instance renew_claim release_claim'),
      ('singularity', 'singularity_agent, centralcloud, centralcloud_readonly', 'list_proposals story depths'),
      ('centralcloud', 'singularity_agent', 'heartbeat'),
      ('centralcloud', 'centralcloud',
       'receive_proposal open_vote take_waiting_proposal record_vote take_due_vote decide confirmed_code_changes record_sample record_assessment
        rollback_record change_to_roll_back start_rollback repeat_rollback confirm_due_change take_silent_change
        confirmed_measures next_due_ms find_pattern pattern_candidates record_pattern step_pattern set_safety_profile
        lock_safety_profile add_to_safety_profile take_untold_instance seal_audit audit_reload'),
      ('centralcloud', 'centralcloud, centralcloud_readonly', 'list_proposals list_instances list_patterns list_safety_profiles
        overview activity steps_since proposal_story list_audit')
    ) g(schema, roles, names) cross join lateral regexp_split_to_table(g.names, '\s+') n(name)
  loop
    for fn in select p.oid from pg_proc p where p.pronamespace = entry.schema::regnamespace and p.proname = entry.name loop
      execute format('alter function %s security definer set search_path = pg_catalog, pg_temp', fn);
      execute format('grant execute on function %s to %s', fn, entry.roles);
    end loop;
    if not found then raise exception 'there is no function %.% to grant', entry.schema, entry.name; end if;
  end loop;
end $$;

-- Without the owner's rights: plain values, and what policies and views call in the name of who reads.
grant execute on function quantumflow.session_instance() to singularity_agent, centralcloud, centralcloud_readonly;
grant execute on function quantumflow.beginning(), quantumflow.unclaimed(), quantumflow.wake_channel(int) to centralcloud, centralcloud_readonly;

create function centralcloud.audit_migration() returns trigger language plpgsql as $$
begin
  perform centralcloud.audit(new.applied_by, 'migrate', null,
    jsonb_build_object('version', new.version, 'title', new.title, 'checksum', new.checksum));
  return null;
end $$;
alter function centralcloud.audit_migration() owner to quantumflow_owner;
revoke all on function centralcloud.audit_migration() from public;

-- Made by `migrate` before the first migration.
do $$
begin
  if to_regprocedure('quantumflow.schema_version()') is not null then
    create trigger audited after insert on quantumflow.schema_migration
      for each row execute function centralcloud.audit_migration();
    grant execute on function quantumflow.schema_version() to singularity_agent, centralcloud, centralcloud_readonly;
    grant select on quantumflow.schema_migration to singularity_agent;
  end if;
end $$;
