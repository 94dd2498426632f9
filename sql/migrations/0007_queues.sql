-- Who the session is, the ten queues of the daemons, and what an instance may do with them.

-- ── Instances and their roles ──────────────────────────────────────────────────────────────────────────────────────

-- The login role of each enrolled instance. A table, since an instance's id may be longer than a role's name. By name, so
-- that it means the same after a dump and restore.
create table quantumflow.instance_role (
  role_name   name primary key,
  instance_id text not null unique check (length(instance_id) between 1 and 200),
  enrolled_at timestamptz not null default clock_timestamp());

-- The instance that the session logged in as; null for everybody else (coordinators, owners, superusers), whom grants
-- alone restrict. session_user, because current_user is the owner inside the functions that agents call. Every publish
-- asks, so the answer that needs no query comes first.
create function quantumflow.session_instance() returns text language plpgsql stable as $$
declare me text;
begin
  -- A superuser is a member of every role, hence the second question.
  if not pg_has_role(session_user, 'singularity_agent', 'member')
     or pg_has_role(session_user, 'quantumflow_owner', 'member') then
    return null;
  end if;
  select r.instance_id into me from quantumflow.instance_role r where r.role_name = session_user;
  -- One that was removed, or never enrolled, must not count as "everybody else".
  if me is null then
    raise exception 'role "%" is enrolled for no instance', session_user
      using errcode = 'insufficient_privilege', hint = 'centralcloud_daemon enroll INSTANCE';
  end if;
  return me;
end $$;

-- A name that the caller chose, as nobody else can choose it.
create function quantumflow.own_name(name text) returns text language plpgsql stable as $$
declare me text := quantumflow.session_instance();
begin
  return case when me is null then name else format('instance %s: %s', to_json(me), name) end;
end $$;

create function quantumflow.check_instance(instance_id text) returns void language plpgsql stable as $$
declare me text := quantumflow.session_instance();
begin
  if me <> instance_id or (me is not null and instance_id is null) then
    raise exception 'instance_id: instance "%" acts for itself only, not for "%"', me, left(coalesce(instance_id, 'NULL'), 200)
      using errcode = 'insufficient_privilege';
  end if;
end $$;

-- ── What an instance may do with a queue ───────────────────────────────────────────────────────────────────────────

-- Called for each message of an instance: asks for the role by itself, and session_instance() only where there is none.
create function quantumflow.check_publish(q quantumflow.queue, payload jsonb, bytes int) returns void
language plpgsql stable as $$
declare me text := (select r.instance_id from quantumflow.instance_role r where r.role_name = session_user);
begin
  if payload is null or jsonb_typeof(payload) <> 'object' then
    raise exception 'payload: expected a JSON object, got %', coalesce(jsonb_typeof(payload), 'NULL')
      using errcode = 'invalid_parameter_value';
  elsif bytes > q.max_payload_bytes then
    raise exception 'payload: expected at most % bytes of text, got %', q.max_payload_bytes, bytes
      using errcode = 'invalid_parameter_value';
  elsif coalesce(me, quantumflow.session_instance()) is null then
    return;
  elsif q.instances_may <> 'publish' then
    raise exception 'queue: instances do not publish to "%"', q.name using errcode = 'insufficient_privilege';
  elsif payload ->> 'instance_id' is distinct from me then
    raise exception 'payload: instance "%" publishes as itself only; instance_id is "%"', me,
      left(coalesce(payload ->> 'instance_id', 'NULL'), 200) using errcode = 'insufficient_privilege';
  end if;
end $$;

create function quantumflow.check_reader(queue text, consumer_group text) returns void language plpgsql stable as $$
declare me text := quantumflow.session_instance();
begin
  if me is null then
    return;
  elsif (quantumflow.find_queue(queue)).instances_may <> 'take' then
    raise exception 'queue: instances do not take from "%"', queue using errcode = 'insufficient_privilege';
  elsif consumer_group is distinct from me then
    raise exception 'consumer_group: instance "%" takes as itself only, not as "%"', me,
      left(coalesce(consumer_group, 'NULL'), 200) using errcode = 'insufficient_privilege';
  end if;
end $$;

-- Of fail and reject: what a transaction has in hand is noted in a setting, which anybody may set.
create function quantumflow.check_cursor(cursor_id int) returns void language plpgsql stable as $$
declare me text := quantumflow.session_instance();
begin
  if me is not null and not exists (select from quantumflow.cursor c
                                     where c.cursor_id = check_cursor.cursor_id and c.consumer_group = me) then
    raise exception 'message_id: this is no message of instance "%"', me using errcode = 'insufficient_privilege';
  end if;
end $$;

-- The channels on which the group is notified.
create function quantumflow.wake_channels(queue text, consumer_group text) returns setof text language plpgsql stable as $$
begin
  perform quantumflow.check_reader(queue, consumer_group);
  return query select distinct quantumflow.wake_channel(r.wake_id) from quantumflow.reader r
                where r.queue_name = wake_channels.queue and r.consumer_group = wake_channels.consumer_group;
end $$;

-- ── The ten queues; common/messages has the formats ────────────────────────────────────────────────────────────────

select quantumflow.declare_queue('proposals_for_consensus_queue', 'lanes', '{proposal_id}', 8, 'centralcloud');
select quantumflow.declare_queue('votes_for_consensus_queue', 'lanes', '{proposal_id}', 8, 'centralcloud');
select quantumflow.declare_queue('metrics_to_guardian_queue', 'lanes', '{proposal_id}', 8, 'centralcloud');
select quantumflow.declare_queue('patterns_for_aggregator_queue', 'lanes', '{code_pattern,after}', 1, 'centralcloud');
select quantumflow.declare_queue('voting_requests_queue', 'broadcast', '{proposal_id}');
select quantumflow.declare_queue('consensus_results_queue', 'directed', '{proposal_id}');
select quantumflow.declare_queue('rollback_triggers_queue', 'directed', '{proposal_id}');
select quantumflow.declare_queue('guardian_safety_profiles_queue', 'directed_or_broadcast', '{agent_type}');
select quantumflow.declare_queue('consensus_patterns_queue', 'broadcast', '{pattern_id}');
select quantumflow.declare_queue('learning_loop_completed_queue', 'lanes', '{timestamp}', 1);

update quantumflow.queue set instances_may = 'publish'
 where name in ('proposals_for_consensus_queue', 'votes_for_consensus_queue', 'metrics_to_guardian_queue',
                'patterns_for_aggregator_queue');
update quantumflow.queue set instances_may = 'take'
 where name in ('voting_requests_queue', 'consensus_results_queue', 'rollback_triggers_queue',
                'guardian_safety_profiles_queue', 'consensus_patterns_queue');
