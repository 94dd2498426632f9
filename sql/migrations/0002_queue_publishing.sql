-- Streams, cursors, and publishing into them.

-- ── Streams and cursors ────────────────────────────────────────────────────────────────────────────────────────────

-- Before every transaction: a cursor that starts here gets all that the log still holds.
create function quantumflow.beginning() returns pg_snapshot language sql immutable parallel safe as
  $$ select '1:1:'::pg_snapshot $$;

-- Messages that came between two snapshots; up to now, where the later one is left out. of_stream, of_segment: of that one only.
create function quantumflow.count_between(seen pg_snapshot, upto pg_snapshot default null, of_stream int default null,
                                          of_segment int default null) returns table (stream_id int, n bigint)
language plpgsql stable set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
begin
  return query execute format($sql$
    select s.stream_id, c.n from quantumflow.stream s cross join lateral (
      select (select count(*) from %1$s m
               where m.stream_id = s.stream_id and m.xid >= pg_snapshot_xmax($1)
                 and ($2 is null or pg_visible_in_snapshot(m.xid, $2)))
             + (select count(*) from unnest(array(select pg_snapshot_xip($1))) late, %1$s m
                 where m.stream_id = s.stream_id and m.xid = late and ($2 is null or pg_visible_in_snapshot(m.xid, $2))) as n) c
     where c.n > 0 and ($3 is null or s.stream_id = $3)$sql$,
    'quantumflow.message' || coalesce('_' || of_segment, '')) using seen, upto, of_stream;
end $$;

-- A cursor of the group on the stream, where it has none: from the beginning, or from now on.
create function quantumflow.add_cursor(stream_id int, consumer_group text, from_beginning boolean) returns void
language plpgsql as $$
declare new_id int;
begin
  insert into quantumflow.cursor (stream_id, queue_id, consumer_group)
    select s.stream_id, s.queue_id, add_cursor.consumer_group from quantumflow.stream s where s.stream_id = add_cursor.stream_id
    on conflict do nothing returning cursor_id into new_id;
  if new_id is not null then
    insert into quantumflow.cursor_position (cursor_id, seq, done, taken) values (new_id, 1, quantumflow.beginning(), 0);
    if not from_beginning then perform quantumflow.skip_to_now(new_id); end if;
  end if;
end $$;

-- The cursor's place is now: what was published before is not for it.
create function quantumflow.skip_to_now(cursor_id int) returns void language plpgsql as $$
declare
  of_stream int;
  before bigint;
  seen pg_snapshot;
  start pg_snapshot;
begin
  -- The count first and then the place, which so lies behind the counted part.
  select c.stream_id, coalesce(n.n, 0), t.upto into of_stream, before, seen
    from quantumflow.cursor c cross join quantumflow.counted t left join quantumflow.stream_count n using (stream_id)
   where c.cursor_id = skip_to_now.cursor_id;
  start := quantumflow.snapshot_without_own();  -- what this transaction publishes next is for it
  insert into quantumflow.cursor_position (cursor_id, seq, done, backlog_put, backlog_taken, taken)
  select p.cursor_id, p.seq + 1, start, p.backlog_put, p.backlog_taken, p.taken from quantumflow.cursor_position p
   where p.cursor_id = skip_to_now.cursor_id order by p.seq desc limit 1;
  update quantumflow.cursor c
     set retired_at = null,
         skipped = before + coalesce((select b.n from quantumflow.count_between(seen, start, of_stream) b), 0)
                   - (select max(p.taken) from quantumflow.cursor_position p where p.cursor_id = c.cursor_id)
   where c.cursor_id = skip_to_now.cursor_id;
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
        perform quantumflow.add_cursor(s.stream_id, recipient, true);
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
        perform quantumflow.add_cursor(s.stream_id, consumer_group, true);
      end if;
    end loop;
  elsif q.audience in ('broadcast', 'directed_or_broadcast') then
    perform quantumflow.find_or_add_stream(q, null, null);
  end if;
  update quantumflow.queue t
     set shared_streams = shared.ids, shared_wake_id = shared.wake_id
    from (select array_agg(own.stream_id order by own.lane) as ids, min(own.wake_id) as wake_id
            from quantumflow.stream own where own.queue_id = q.queue_id and own.recipient is null) shared
   where t.queue_id = q.queue_id and shared.ids is not null;
end $$;

-- A message's payload for SQL. What is JSON and yet no jsonb (a \u0000, a number beyond numeric) comes as a string: its reader finds
-- no object and rejects it, where an error would block its lane.
create function quantumflow.payload_of(body text) returns jsonb language plpgsql immutable strict parallel safe as $$
begin
  return body::jsonb;
exception when data_exception or program_limit_exceeded then
  return to_jsonb(body);
end $$;

-- ── Publishing ─────────────────────────────────────────────────────────────────────────────────────────────────────

-- The lane of an ordering key, 0-based; messages without the key share the lane of the empty one.
create function quantumflow.lane_of(ordering_key text, lane_count int) returns int language sql immutable parallel safe as $$
  select ((hashtextextended(coalesce(ordering_key, ''), 0) & 9223372036854775807) % lane_count)::int
$$;

-- The stream of an ordering key's lane, of a shared queue.
create function quantumflow.lane_stream(q quantumflow.queue, ordering_key text) returns int language sql immutable parallel safe as $$
  select q.shared_streams[1 + quantumflow.lane_of(ordering_key, cardinality(q.shared_streams))]
$$;

-- The stream of one instance, created where it is new: what is sent to an instance waits for it, seen yet or not.
create function quantumflow.instance_stream(queue text, recipient text) returns quantumflow.stream language plpgsql as $$
declare
  q quantumflow.queue := quantumflow.find_queue(queue);
  s quantumflow.stream;
begin
  if q.audience in ('lanes', 'broadcast') then
    raise exception 'recipient: queue "%" %; leave the recipient out', q.name,
      case q.audience when 'lanes' then 'is shared by consumer groups' else 'goes to every instance' end
      using errcode = 'invalid_parameter_value';
  elsif recipient is null then
    raise exception 'recipient: queue "%" needs the instance that the message is for', q.name
      using errcode = 'invalid_parameter_value';
  elsif length(recipient) not between 1 and 200 then
    raise exception 'recipient: expected 1 to 200 characters' using errcode = 'invalid_parameter_value';
  end if;
  select * into s from quantumflow.stream t
   where t.queue_id = q.queue_id and t.recipient = instance_stream.recipient and t.lane is null;
  if not found then s := quantumflow.find_or_add_stream(q, recipient, null); end if;
  return s;
end $$;

-- NOTIFY takes a lock that serializes commits, so it is only sent when somebody sleeps: a sleeper holds the wake lock
-- exclusively, publishers try it in shared mode and keep it until their commit, and a sleeper looks once more after it got
-- the lock. A broadcast has many sleepers and one lock cannot speak for all: always notified.
create function quantumflow.wake(wake_id int, many_sleepers boolean) returns void language plpgsql as $$
begin
  if many_sleepers or not pg_try_advisory_xact_lock_shared(quantumflow.wake_lock_class(), wake_id) then
    perform pg_notify(quantumflow.wake_channel(wake_id), '');
  end if;
end $$;

-- Where a message of a shared queue goes, and its sleepers woken: all of it in one look-up, which `publish` reads from while it
-- inserts. None where that does not settle it: an unknown queue, one addressed to instances, an instance's session (a superuser
-- is a member of both roles), a payload that is no object or too large. Inlined.
create function quantumflow.shared_stream(queue text, payload text, key text) returns table (stream_id int)
language sql stable as $$
  select case when cardinality(q.shared_streams) = 1 then q.shared_streams[1]
              else q.shared_streams[1 + quantumflow.lane_of(coalesce(key, payload::json #>> q.ordering_key),
                                                            cardinality(q.shared_streams))] end
    from quantumflow.queue q
   where q.name = shared_stream.queue and q.shared_wake_id is not null
     and octet_length(payload) <= q.max_payload_bytes and json_typeof(payload::json) = 'object'
     and (not pg_has_role(session_user, 'singularity_agent', 'member')
          or pg_has_role(session_user, 'quantumflow_owner', 'member'))
     -- As `wake` does it.
     and (q.audience = 'lanes' and pg_try_advisory_xact_lock_shared(quantumflow.wake_lock_class(), q.shared_wake_id)
          or pg_notify(quantumflow.wake_channel(q.shared_wake_id), '') is not null)
$$;

-- The path whose microseconds count: one statement for a shared queue. Text, because making a jsonb of it and text again costs
-- as much as the insert does.
create function quantumflow.publish(queue text, payload text, recipient text default null, key text default null)
returns bigint language plpgsql as $$
declare
  segment bigint := pg_sequence_last_value('quantumflow.current_segment');
  new_id bigint;
begin
  if recipient is null then
    if segment = 0 then
      insert into quantumflow.message_0 (stream_id, body)
      select s.stream_id, payload from quantumflow.shared_stream(queue, payload, key) s returning msg_id into new_id;
    elsif segment = 1 then
      insert into quantumflow.message_1 (stream_id, body)
      select s.stream_id, payload from quantumflow.shared_stream(queue, payload, key) s returning msg_id into new_id;
    else
      insert into quantumflow.message_2 (stream_id, body)
      select s.stream_id, payload from quantumflow.shared_stream(queue, payload, key) s returning msg_id into new_id;
    end if;
    if new_id is not null then return new_id; end if;
  end if;
  perform quantumflow.check_publish(quantumflow.find_queue(queue), payload::jsonb, octet_length(payload));
  return (quantumflow.append_many(queue, array[payload], case when key is not null then array[key] end,
                                  case when recipient is not null then array[recipient] end))[1];
end $$;
comment on function quantumflow.publish(text, text, text, text) is
  'Publishes a JSON object, kept as it is written, in the caller''s transaction and returns the message''s id. recipient: the instance, for queues that are addressed to one. key: the payload''s ordering key (left out: read from the payload).';

create function quantumflow.publish(queue text, payload jsonb, recipient text default null) returns bigint
language plpgsql as $$ begin return quantumflow.publish(queue, payload::text, recipient); end $$;
comment on function quantumflow.publish(text, jsonb, text) is
  'Publishes a message in the caller''s transaction and returns its id. recipient: the instance, for queues that are addressed to one.';

-- Every payload is parsed: what is no JSON object would fail its readers. An instance's is looked into besides. (Here and below
-- unnest() is in the list of columns, because in FROM it keeps a copy of everything.)
create function quantumflow.check_payloads(q quantumflow.queue, payloads text[]) returns void language plpgsql as $$
declare
  wrong text;
  largest int;
begin
  begin
    select json_typeof(p::json), octet_length(p) into wrong, largest from (select unnest(payloads) as p) each
     where p is null or json_typeof(p::json) <> 'object' or octet_length(p) > q.max_payload_bytes limit 1;
  exception when invalid_text_representation then
    raise exception 'payloads: expected JSON objects: %', sqlerrm using errcode = 'invalid_parameter_value';
  end;
  if largest > q.max_payload_bytes then
    raise exception 'payloads: expected at most % bytes of text, got %', q.max_payload_bytes, largest
      using errcode = 'invalid_parameter_value';
  elsif found then
    raise exception 'payloads: expected JSON objects, got %', coalesce(wrong, 'NULL')
      using errcode = 'invalid_parameter_value';
  end if;
  if quantumflow.session_instance() is not null then
    perform quantumflow.check_publish(q, p::jsonb, octet_length(p)) from unnest(payloads) p;
  end if;
end $$;

-- The streams of messages to instances, one a payload; wakes their sleepers.
create function quantumflow.instance_streams(to_queue quantumflow.queue, payloads text[], recipients text[])
returns int[] language plpgsql as $$
declare
  instances text[] := recipients;
  found_streams jsonb := '{}';
  s quantumflow.stream;
  one text;
begin
  if to_queue.audience = 'directed' then
    instances := array(select coalesce(r, p::json ->> 'instance_id')
                         from unnest(payloads) with ordinality a(p, n)
                         left join unnest(recipients) with ordinality b(r, n) using (n) order by n);
  elsif instances is null then
    instances := array_fill(null::text, array[cardinality(payloads)]);
  end if;
  for one in select distinct i from unnest(instances) i loop
    if one is null and to_queue.audience = 'directed_or_broadcast' then
      perform quantumflow.wake(to_queue.shared_wake_id, true);
    else
      s := quantumflow.instance_stream(to_queue.name, one);
      found_streams := found_streams || jsonb_build_object(one, s.stream_id);
      perform quantumflow.wake(s.wake_id, false);
    end if;
  end loop;
  return array(select coalesce((found_streams ->> i)::int, to_queue.shared_streams[1]) from unnest(instances) i);
end $$;

-- publish_many without the check that every payload is a JSON object: for callers that wrote the JSON themselves.
create function quantumflow.append_many(queue text, payloads text[], keys text[] default null,
                                        recipients text[] default null) returns bigint[] language plpgsql as $$
declare
  q quantumflow.queue := quantumflow.find_queue(queue);
  n int := cardinality(payloads);
  segment bigint := pg_sequence_last_value('quantumflow.current_segment');
  streams int[];
  ids bigint[];
begin
  if n = 0 then return '{}'; end if;
  if n is null or n > 10000 then
    raise exception 'payloads: expected at most 10000' using errcode = 'invalid_parameter_value';
  elsif cardinality(keys) <> n or cardinality(recipients) <> n then
    raise exception '%: expected one for each payload', case when cardinality(keys) <> n then 'keys' else 'recipients' end
      using errcode = 'invalid_parameter_value';
  end if;
  if q.audience in ('lanes', 'broadcast') and coalesce(cardinality(array_remove(recipients, null)), 0) = 0 then
    streams := case
      when cardinality(q.shared_streams) = 1 then array_fill(q.shared_streams[1], array[n])
      when keys is null then array(select q.shared_streams[1 + quantumflow.lane_of(p::json #>> q.ordering_key, q.lane_count)]
                                     from (select unnest(payloads) as p) each)
      else array(select q.shared_streams[1 + quantumflow.lane_of(k, q.lane_count)] from (select unnest(keys) as k) each) end;
    perform quantumflow.wake(q.shared_wake_id, q.audience = 'broadcast');
  else
    streams := quantumflow.instance_streams(q, payloads, recipients);
  end if;
  ids := array(select nextval('quantumflow.message_id') from generate_series(1, n));
  if segment = 0 then
    insert into quantumflow.message_0 (stream_id, msg_id, body) select unnest(streams), unnest(ids), unnest(payloads);
  elsif segment = 1 then
    insert into quantumflow.message_1 (stream_id, msg_id, body) select unnest(streams), unnest(ids), unnest(payloads);
  else
    insert into quantumflow.message_2 (stream_id, msg_id, body) select unnest(streams), unnest(ids), unnest(payloads);
  end if;
  return ids;
end $$;

create function quantumflow.publish_many(queue text, payloads text[], keys text[] default null,
                                         recipients text[] default null) returns bigint[] language plpgsql as $$
begin
  perform quantumflow.check_payloads(quantumflow.find_queue(queue), payloads);
  return quantumflow.append_many(queue, payloads, keys, recipients);
end $$;
comment on function quantumflow.publish_many is
  'Publishes many messages at once and returns their ids in order. keys: each payload''s ordering key (left out: read from the payload). recipients: as publish.';

-- A producer that numbers its publications (ascending; gaps are allowed) may repeat one after a COMMIT whose reply was
-- lost, or from its spool: what was published is not published again, and the ids are those of the first time (empty
-- where a later publication has replaced them). A producer is forgotten after 7 days without a publication (trim_producers):
-- what it repeats then is published again.
create function quantumflow.publish_once(producer text, sequence bigint, queue text, payloads text[],
                                         keys text[] default null, recipients text[] default null) returns bigint[]
language plpgsql as $$
declare
  own_name text := quantumflow.own_name(producer);
  last quantumflow.producer_position;
  ids bigint[];
begin
  if coalesce(length(producer), 0) not between 1 and 200 then
    raise exception 'producer: expected 1 to 200 characters' using errcode = 'invalid_parameter_value';
  end if;
  loop
    insert into quantumflow.producer values (own_name) on conflict do nothing;
    perform from quantumflow.producer p where p.producer = own_name for update;
    exit when found;  -- else it was trimmed in between
  end loop;
  select * into last from quantumflow.producer_position p
   where p.producer = own_name order by p.producer desc, p.sequence desc limit 1;
  if last.sequence >= publish_once.sequence then
    return coalesce((select p.message_ids from quantumflow.producer_position p
                      where p.producer = own_name and p.sequence = publish_once.sequence), '{}');
  end if;
  ids := quantumflow.publish_many(queue, payloads, keys, recipients);
  insert into quantumflow.producer_position (producer, sequence, message_ids) values (own_name, sequence, ids);
  return ids;
end $$;
comment on function quantumflow.publish_once is
  'publish_many for a producer that numbers its publications, ascending: repeated with the same number, or a lower one, it changes nothing. A producer is forgotten after 7 days without a publication.';

-- Deletes positions that newer ones have replaced, and those of producers that have been silent for a week.
create function quantumflow.trim_producers() returns bigint language plpgsql as $$
declare trimmed bigint;
begin
  delete from quantumflow.producer_position p
   where p.at < clock_timestamp() - interval '7 days'
      or (p.at < clock_timestamp() - interval '1 minute'
          and exists (select from quantumflow.producer_position later
                       where later.producer = p.producer and later.sequence > p.sequence));
  get diagnostics trimmed = row_count;
  delete from quantumflow.producer where producer in (
    select p.producer from quantumflow.producer p
     where not exists (select from quantumflow.producer_position s where s.producer = p.producer) for update skip locked);
  return trimmed;
end $$;
