-- Streams, cursors, and publishing into them.

-- ── Streams and cursors ────────────────────────────────────────────────────────────────────────────────────────────

-- Before every transaction: a cursor that starts here gets all that the log still holds.
create function quantumflow.beginning() returns pg_snapshot language sql immutable parallel safe as
  $$ select '1:1:'::pg_snapshot $$;

create function quantumflow.add_cursor(stream_id int, consumer_group text, start pg_snapshot) returns void
language plpgsql as $$
declare new_id int;
begin
  insert into quantumflow.cursor (stream_id, consumer_group) values (add_cursor.stream_id, add_cursor.consumer_group)
    on conflict do nothing returning cursor_id into new_id;
  if new_id is not null then
    insert into quantumflow.cursor_position (cursor_id, seq, done, taken) values (new_id, 1, start, 0);
  end if;
end $$;

create function quantumflow.find_or_add_stream(queue quantumflow.queue, recipient text, lane int) returns quantumflow.stream
language plpgsql as $$
declare
  s quantumflow.stream;
  new_id int;
begin
  for attempt in 1..2 loop
    select * into s from quantumflow.stream t
      where t.queue_id = queue.queue_id and t.recipient is not distinct from find_or_add_stream.recipient
        and t.lane is not distinct from find_or_add_stream.lane;
    if found then return s; end if;
    new_id := nextval(pg_get_serial_sequence('quantumflow.stream', 'stream_id'));
    insert into quantumflow.stream (stream_id, queue_id, recipient, lane, wake_id) overriding system value
      values (new_id, queue.queue_id, recipient, lane,
              case when lane > 0 then (select t.wake_id from quantumflow.stream t
                                        where t.queue_id = queue.queue_id and t.lane = 0) else new_id end)
      on conflict do nothing returning * into s;
    if found then
      -- What is sent to one instance waits for it, whether it has been seen yet or not.
      if recipient is not null then
        perform quantumflow.add_cursor(s.stream_id, recipient, quantumflow.beginning());
      end if;
      return s;
    end if;
  end loop;
  raise exception 'stream of queue "%" could not be added', queue.name;
end $$;

-- Declares a queue with its streams. `consumer_group`: the group that has everything from the beginning; without one,
-- the first group that subscribes gets it.
create function quantumflow.declare_queue(queue text, audience text, ordering_key text[], lane_count int default 1,
                                          consumer_group text default null) returns void language plpgsql as $$
declare
  q quantumflow.queue;
  s quantumflow.stream;
begin
  insert into quantumflow.queue (name, audience, ordering_key, lane_count)
    values (declare_queue.queue, declare_queue.audience, declare_queue.ordering_key, declare_queue.lane_count)
    returning * into q;
  if q.audience = 'lanes' then
    for k in 0 .. q.lane_count - 1 loop
      s := quantumflow.find_or_add_stream(q, null, k);
      if consumer_group is not null then
        perform quantumflow.add_cursor(s.stream_id, consumer_group, quantumflow.beginning());
      end if;
    end loop;
  elsif q.audience in ('broadcast', 'directed_or_broadcast') then
    perform quantumflow.find_or_add_stream(q, null, null);
  end if;
end $$;

-- Which stream a message goes to. Errors name the argument.
create function quantumflow.route(q quantumflow.queue, payload jsonb, recipient text) returns quantumflow.stream
language plpgsql as $$
declare to_instance text := recipient;
begin
  if q.audience = 'lanes' then
    if recipient is not null then
      raise exception 'recipient: queue "%" is shared by consumer groups; leave the recipient out', q.name
        using errcode = 'invalid_parameter_value';
    end if;
    return quantumflow.find_or_add_stream(q, null,
      ((hashtextextended(coalesce(payload #>> q.ordering_key, ''), 0) & 9223372036854775807) % q.lane_count)::int);
  end if;
  if q.audience = 'directed' and to_instance is null then
    to_instance := payload ->> 'instance_id';
  end if;
  if to_instance is null and q.audience = 'directed' then
    raise exception 'recipient: queue "%" needs the instance that the message is for', q.name
      using errcode = 'invalid_parameter_value';
  elsif to_instance is not null and q.audience = 'broadcast' then
    raise exception 'recipient: queue "%" goes to every instance; leave the recipient out', q.name
      using errcode = 'invalid_parameter_value';
  elsif length(to_instance) not between 1 and 200 then
    raise exception 'recipient: expected 1 to 200 characters' using errcode = 'invalid_parameter_value';
  end if;
  return quantumflow.find_or_add_stream(q, to_instance, null);
end $$;

-- ── Publishing ─────────────────────────────────────────────────────────────────────────────────────────────────────

-- Appends to the current segment. NOTIFY takes a lock that serializes commits, so it is only sent when somebody sleeps:
-- a sleeper holds the wake lock exclusively, publishers try it in shared mode until their commit, and a sleeper looks
-- once more after it got the lock. A broadcast has many sleepers and one lock cannot speak for all: always notified.
create function quantumflow.append(s quantumflow.stream, body text) returns bigint language plpgsql as $$
declare
  current smallint;
  new_id bigint;
begin
  select segment into current from quantumflow.current_segment;
  if current = 0 then
    insert into quantumflow.message_0 (stream_id, body) values (s.stream_id, append.body) returning msg_id into new_id;
  elsif current = 1 then
    insert into quantumflow.message_1 (stream_id, body) values (s.stream_id, append.body) returning msg_id into new_id;
  else
    insert into quantumflow.message_2 (stream_id, body) values (s.stream_id, append.body) returning msg_id into new_id;
  end if;
  if (s.recipient is null and s.lane is null)
     or not pg_try_advisory_xact_lock_shared(quantumflow.wake_lock_class(), s.wake_id) then
    perform pg_notify(quantumflow.wake_channel(s.wake_id), '');
  end if;
  return new_id;
end $$;

create function quantumflow.publish(queue text, payload jsonb, recipient text default null) returns bigint
language plpgsql as $$
declare
  q quantumflow.queue := quantumflow.find_queue(queue);
  body text := payload::text;
begin
  -- Only an instance's publish pays for a call: "member of both" is a superuser.
  if jsonb_typeof(payload) is distinct from 'object' or octet_length(body) > q.max_payload_bytes
     or (pg_has_role(session_user, 'singularity_agent', 'member')
         and not pg_has_role(session_user, 'quantumflow_owner', 'member')) then
    perform quantumflow.check_publish(q, payload, octet_length(body));
  end if;
  return quantumflow.append(quantumflow.route(q, payload, recipient), body);
end $$;
comment on function quantumflow.publish is
  'Publishes a message in the caller''s transaction and returns its id. recipient: the instance, for queues that are addressed to one.';
