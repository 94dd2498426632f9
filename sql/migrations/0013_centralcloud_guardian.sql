-- Watching changes, and rolling back those that do harm.

-- What an instance's report does to a change's state.
create function centralcloud.next_change_state(state text, status text) returns text language sql immutable as $$
  select case
    when status in ('applied', 'monitoring') and state = 'executing' then 'watching'
    when status = 'failed' and state in ('executing', 'watching', 'rollback_triggered') then 'failed'
    when status = 'rolled_back' and state <> 'failed' then 'rolled_back'
    when status = 'rollback_failed' and state in ('executing', 'watching', 'confirmed', 'rollback_triggered') then 'rollback_failed'
    else state end
$$;

create function centralcloud.step_change(c centralcloud.change, to_state text, cause text, actor text) returns void
language plpgsql as $$
begin
  update centralcloud.change t
     set state = to_state,
         ended_at = case when to_state in ('executing', 'watching', 'rollback_triggered') then null else clock_timestamp() end
   where t.proposal_id = c.proposal_id;
  if to_state in ('rolled_back', 'rollback_failed', 'failed') then
    update centralcloud.rollback r
       set outcome = case when to_state = 'failed' then 'not_needed' else to_state end, ended_at = clock_timestamp()
     where r.proposal_id = c.proposal_id and r.outcome in ('pending', 'rollback_failed');
  end if;
  perform centralcloud.add_step(c.proposal_id, to_state, cause, actor);
end $$;

-- Records a sample and carries the state on, under the change's lock. disposition: recorded | duplicate |
-- unknown_proposal | other_instance. `judge`: whether rules may act on it.
-- The window begins when the change was applied, as the instance says it: that is when the instance begins, and so ends, to send
-- samples, however late its report is read. But not before the decision, whatever its clock shows, and the window stays open for
-- `settle_ms` from now: what the instance reported meanwhile is behind this report in the queue, and is to be judged.
create function centralcloud.record_sample(
  proposal_id text, instance_id text, status text, metrics_before jsonb, metrics_after jsonb, reported_at timestamptz,
  default_window_ms bigint, settle_ms bigint default 0, out disposition text, out sample_id bigint, out state text,
  out judge boolean, out runs jsonb, out profile jsonb, out baseline jsonb, out change_type text, out unapproved boolean, out traceparent text,
  out breached_for_seconds double precision) language plpgsql as $$
#variable_conflict use_column
declare
  p centralcloud.proposal;
  c centralcloud.change;
  target text;
  window_length interval;
begin
  select * into p from centralcloud.proposal t where t.proposal_id = record_sample.proposal_id;
  if not found then disposition := 'unknown_proposal'; return; end if;
  -- Who proposes applies: whoever else reports first must not become the one that is told to roll back.
  if p.instance_id <> record_sample.instance_id then disposition := 'other_instance'; return; end if;
  insert into centralcloud.change (proposal_id, instance_id, agent_type, change_type, state, received_at, profile)
  values (p.proposal_id, record_sample.instance_id, p.agent_type, p.change_type, 'executing', p.received_at,
          centralcloud.effective_profile(p.agent_type, record_sample.instance_id, p.body -> 'safety_profile'))
  on conflict (proposal_id) do nothing;
  if found then
    perform centralcloud.add_step(p.proposal_id, 'executing', 'first report: ' || record_sample.status, record_sample.instance_id);
    unapproved := p.state <> 'approved';
    if unapproved then
      perform centralcloud.audit(record_sample.instance_id, 'executed_without_approval', p.proposal_id,
                                 jsonb_build_object('proposal_state', p.state));
    end if;
  end if;
  select * into c from centralcloud.change t where t.proposal_id = record_sample.proposal_id for no key update;
  insert into centralcloud.sample (proposal_id, instance_id, status, metrics_before, metrics_after, reported_at)
  values (p.proposal_id, record_sample.instance_id, record_sample.status, record_sample.metrics_before,
          record_sample.metrics_after, record_sample.reported_at)
  on conflict do nothing returning sample.sample_id into record_sample.sample_id;
  if record_sample.sample_id is null then disposition := 'duplicate'; return; end if;
  disposition := 'recorded';
  target := centralcloud.next_change_state(c.state, record_sample.status);
  window_length := coalesce((c.profile ->> 'observation_window_seconds')::numeric * 1000, default_window_ms)::bigint
                   * interval '1 millisecond';
  update centralcloud.change t
     set last_sample_at = clock_timestamp(), missing_alerted = false,
         baseline = record_sample.metrics_before || t.baseline,  -- the first word about a metric stays
         watch_until = case when target = 'watching' and c.state <> 'watching'
           then greatest(least(clock_timestamp(), greatest(record_sample.reported_at, p.decided_at, p.received_at)) + window_length,
                         clock_timestamp() + least(settle_ms * interval '1 millisecond', window_length))
           else t.watch_until end
   where t.proposal_id = p.proposal_id returning t.baseline into record_sample.baseline;
  if target <> c.state then
    perform centralcloud.step_change(c, target, 'reported ' || record_sample.status, record_sample.instance_id);
  end if;
  state := target;
  -- Both by the instance's clock: from the measuring of the breach to the change being back.
  if target = 'rolled_back' and c.state = 'rollback_triggered' then
    breached_for_seconds := (select extract(epoch from record_sample.reported_at - max(s.reported_at))
                               from centralcloud.sample s where s.proposal_id = p.proposal_id and s.breaches <> '[]');
  end if;
  -- What was measured before the change was in place says nothing of it, however late it is read.
  judge := target = 'watching' and record_sample.status in ('applied', 'monitoring');
  runs := c.runs;
  profile := c.profile;
  change_type := c.change_type;
  traceparent := p.body ->> 'traceparent';
end $$;

-- What the rules said of a sample.
create function centralcloud.record_assessment(proposal_id text, sample_id bigint, runs jsonb, breaches jsonb) returns void
language sql as $$
  update centralcloud.change t set runs = record_assessment.runs where t.proposal_id = record_assessment.proposal_id;
  update centralcloud.sample s set breaches = record_assessment.breaches where s.sample_id = record_assessment.sample_id;
$$;

-- How ended rollbacks of a change type went.
create function centralcloud.rollback_record(change_type text, out ended bigint, out succeeded bigint) language sql stable as $$
  select count(*), count(*) filter (where r.outcome = 'rolled_back') from centralcloud.rollback r
   where r.change_type is not distinct from rollback_record.change_type and r.outcome in ('rolled_back', 'rollback_failed')
$$;

-- What a rollback of the proposal's change would need to know. No row: the change (or the proposal) does not exist.
create function centralcloud.change_to_roll_back(proposal_id text)
returns table (state text, change_type text) language sql as $$
  select c.state, c.change_type from centralcloud.change c where c.proposal_id = change_to_roll_back.proposal_id for no key update
$$;

-- Begins the one rollback of a change. Returns the instance that applied it; no row where there was a rollback already or
-- the change is over.
create function centralcloud.start_rollback(proposal_id text, rollback_id text, reason text, threshold jsonb, strategy jsonb,
                                            actor text, note text)
returns table (instance_id text, traceparent text) language plpgsql as $$
#variable_conflict use_column
declare c centralcloud.change;
begin
  select * into c from centralcloud.change t where t.proposal_id = start_rollback.proposal_id for no key update;
  if not found or c.state not in ('executing', 'watching', 'confirmed') then return; end if;
  insert into centralcloud.rollback (rollback_id, proposal_id, instance_id, change_type, reason, threshold, strategy, actor, note)
  values (start_rollback.rollback_id, c.proposal_id, c.instance_id, c.change_type, start_rollback.reason,
          start_rollback.threshold, start_rollback.strategy, start_rollback.actor, start_rollback.note)
  on conflict (proposal_id) do nothing;
  if not found then return; end if;
  perform centralcloud.step_change(c, 'rollback_triggered',
    start_rollback.reason || coalesce(': ' || start_rollback.note, ''), start_rollback.actor);
  perform centralcloud.audit(start_rollback.actor, 'rollback_trigger', c.proposal_id,
    jsonb_build_object('rollback_id', start_rollback.rollback_id, 'reason', start_rollback.reason,
                       'threshold', start_rollback.threshold, 'note', start_rollback.note));
  return query select c.instance_id, p.body ->> 'traceparent' from centralcloud.proposal p where p.proposal_id = c.proposal_id;
end $$;

-- The rollback that is under way, as it was triggered: its trigger may have been lost, and may be sent again, since an instance does
-- nothing about one that it has. No row: none is under way.
create function centralcloud.repeat_rollback(proposal_id text, actor text, note text)
returns table (rollback_id text, instance_id text, reason text, threshold jsonb, strategy jsonb, traceparent text)
language plpgsql as $$
#variable_conflict use_column
declare r centralcloud.rollback;
begin
  select b.* into r from centralcloud.change c join centralcloud.rollback b using (proposal_id)
   where c.proposal_id = repeat_rollback.proposal_id and c.state = 'rollback_triggered' for no key update of c;
  if not found then return; end if;
  perform centralcloud.audit(repeat_rollback.actor, 'rollback_repeated', r.proposal_id,
    jsonb_build_object('rollback_id', r.rollback_id, 'note', repeat_rollback.note));
  return query select r.rollback_id, r.instance_id, r.reason, r.threshold, r.strategy, p.body ->> 'traceparent'
                 from centralcloud.proposal p where p.proposal_id = r.proposal_id;
end $$;

-- Confirms one change whose window has ended without a rollback. No row: none is due, or others have them in hand.
create function centralcloud.confirm_due_change(skip text[] default '{}')
returns table (proposal_id text, instance_id text, agent_type text, profile jsonb) language plpgsql as $$
#variable_conflict use_column
declare
  asked_at timestamptz := clock_timestamp();
  due record;
  waiting int[] := '{}';  -- as in take_due_vote()
  c centralcloud.change;
begin
  for due in select t.proposal_id, t.watch_until, quantumflow.lane_stream(q, t.proposal_id) as lane
               from centralcloud.change t cross join quantumflow.queue q
              where t.state = 'watching' and t.watch_until <= asked_at and q.name = 'metrics_to_guardian_queue'
                and t.proposal_id <> all (skip)
              order by t.watch_until limit 10000
  loop
    continue when due.lane = any (waiting);
    if centralcloud.lane_waits(due.lane, due.watch_until) then
      waiting := waiting || due.lane;
      continue;
    end if;
    continue when centralcloud.retry_waits(due.lane, due.proposal_id, due.watch_until);
    select * into c from centralcloud.change t
     where t.proposal_id = due.proposal_id and t.state = 'watching' for no key update skip locked;
    continue when not found;
    update centralcloud.change t set measured = (
      select coalesce(jsonb_object_agg(m.key, jsonb_build_object('low', m.low, 'high', m.high, 'rise', m.rise)), '{}') from (
        select e.key, min(e.value::text::numeric) as low, max(e.value::text::numeric) as high,
               max(e.value::text::numeric - (c.baseline ->> e.key)::numeric) as rise
          from centralcloud.sample s cross join lateral jsonb_each(s.metrics_after) e
         where s.proposal_id = c.proposal_id and s.status in ('applied', 'monitoring') and jsonb_typeof(e.value) = 'number'
         group by e.key) m)
     where t.proposal_id = c.proposal_id;
    perform centralcloud.step_change(c, 'confirmed', 'the observation window ended without a rollback', 'centralcloud');
    perform centralcloud.audit('centralcloud', 'confirmed', c.proposal_id, null);
    return query select c.proposal_id, c.instance_id, c.agent_type, c.profile;
    return;
  end loop;
end $$;

-- One watched change that has been silent for `silence_ms`, told once a silence; locked. What was published when the silence was
-- complete, or a second ago, is heard first. (What was published just now, too, would always be waiting in a busy lane.)
create function centralcloud.take_silent_change(silence_ms bigint, skip text[] default '{}')
returns table (proposal_id text, instance_id text, change_type text, auto_rollback boolean, silent_ms bigint)
language plpgsql as $$
#variable_conflict use_column
declare
  asked_at timestamptz := clock_timestamp();
  silence interval := silence_ms * interval '1 millisecond';
  due record;
  waiting int[] := '{}';  -- as in take_due_vote()
  c centralcloud.change;
begin
  for due in select t.proposal_id, t.last_sample_at, quantumflow.lane_stream(q, t.proposal_id) as lane,
                    greatest(t.last_sample_at + silence, asked_at - interval '1 second') as heard_until
               from centralcloud.change t cross join quantumflow.queue q
              where t.state = 'watching' and not t.missing_alerted and t.watch_until > asked_at
                and t.last_sample_at <= asked_at - silence and q.name = 'metrics_to_guardian_queue'
                and t.proposal_id <> all (skip)
              order by t.last_sample_at limit 10000
  loop
    continue when due.lane = any (waiting);
    if centralcloud.lane_waits(due.lane, due.heard_until) then
      waiting := waiting || due.lane;
      continue;
    end if;
    continue when centralcloud.retry_waits(due.lane, due.proposal_id, due.heard_until);
    select * into c from centralcloud.change t
     where t.proposal_id = due.proposal_id and t.state = 'watching' and not t.missing_alerted
       and t.last_sample_at = due.last_sample_at for no key update skip locked;
    continue when not found;
    update centralcloud.change t set missing_alerted = true where t.proposal_id = c.proposal_id;
    perform centralcloud.audit('centralcloud', 'metrics_missing', c.proposal_id,
                               jsonb_build_object('last_sample_at', c.last_sample_at));
    return query select c.proposal_id, c.instance_id, c.change_type, coalesce((c.profile ->> 'auto_rollback')::boolean, true),
      (extract(epoch from clock_timestamp() - c.last_sample_at) * 1000)::bigint;
    return;
  end loop;
end $$;

-- What confirmed changes of an agent type measured, newest first: {metric: {low, high, rise}} each.
create function centralcloud.confirmed_measures(agent_type text, max int) returns setof jsonb language sql stable as $$
  select c.measured from centralcloud.change c
   where c.state = 'confirmed' and c.agent_type = confirmed_measures.agent_type and c.measured is not null
   order by c.ended_at desc limit confirmed_measures.max
$$;

-- Instances that have not been sent the profiles in force, and read the queue: what is broadcast from now on reaches them by itself.
create function centralcloud.untold_instances() returns setof text language sql stable as $$
  select i.instance_id from centralcloud.instance i
   where not i.profiles_told
     and exists (select from quantumflow.reader r
                  where r.queue_name = 'guardian_safety_profiles_queue' and r.consumer_group = i.instance_id
                    and r.recipient is null and r.retired_at is null)
$$;

-- One of those, marked as told, with all that is held for it: [{agent_type, profile, source}]. No row: there is none. The profiles stay
-- locked until the transaction ends, so that whoever changes one sends it after this, or had committed before.
create function centralcloud.take_untold_instance() returns table (instance_id text, profiles jsonb) language plpgsql as $$
#variable_conflict use_column
declare one text;
begin
  select i.instance_id into one from centralcloud.instance i
   where i.instance_id in (select centralcloud.untold_instances()) order by i.instance_id limit 1 for no key update skip locked;
  if not found then return; end if;
  update centralcloud.instance i set profiles_told = true where i.instance_id = one;
  perform from centralcloud.safety_profile s where s.instance_id in ('', one) order by s.agent_type, s.instance_id for share;
  return query
    select one, coalesce(jsonb_agg(jsonb_build_object('agent_type', h.agent_type, 'profile', h.profile, 'source', h.source)
                                   order by h.agent_type), '[]')
      from (select a.agent_type, coalesce(every.profile, '{}') || coalesce(own.profile, '{}') as profile,
                   coalesce(own.source, every.source) as source
              from (select distinct s.agent_type from centralcloud.safety_profile s where s.instance_id in ('', one)) a
              left join centralcloud.safety_profile every on every.agent_type = a.agent_type and every.instance_id = ''
              left join centralcloud.safety_profile own on own.agent_type = a.agent_type and own.instance_id = one) h;
end $$;

-- Milliseconds until timed work is due (0: now); null where there is none.
create function centralcloud.next_due_ms(silence_ms bigint) returns bigint language sql stable as $$
  select greatest(0, ceil(extract(epoch from min(at) - clock_timestamp()) * 1000))::bigint from (
    select min(p.deadline) as at from centralcloud.proposal p where p.state = 'voting'
    union all  -- voters may turn up at any time
    select clock_timestamp()
     where exists (select from centralcloud.proposal p where p.state = 'voting' and p.deadline is null)
    union all
    select clock_timestamp() where exists (select from centralcloud.untold_instances())
    union all
    select min(c.watch_until) from centralcloud.change c where c.state = 'watching'
    union all
    select min(c.last_sample_at + next_due_ms.silence_ms * interval '1 millisecond')
      from centralcloud.change c where c.state = 'watching' and not c.missing_alerted) due
  having min(at) is not null  -- greatest() ignores null: "nothing" would read as "now"
$$;
