-- The way of a proposal through an agent: proposing, executing, watching, rolling back.

-- ── Proposing ──────────────────────────────────────────────────────────────────────────────────────────────────────

-- Submits a proposal: {proposal_id, agent_type, code_change, impact_score, risk_score, safety_profile, agent_id?,
-- metadata?, traceparent?, priority_score}. Answers {outcome, proposal}; outcome: created, same (the id is there with this content),
-- other (it is there with other content, or belongs to another instance), full (`max_pending` wait already).
create function singularity.submit(instance_id text, proposal jsonb, max_pending int) returns jsonb language plpgsql as $$
declare
  p singularity.proposal;
  id text := proposal ->> 'proposal_id';
begin
  perform quantumflow.check_instance(instance_id);
  select * into p from singularity.proposal e where e.proposal_id = id;
  if not found then
    if (select count(*) from singularity.proposal w
         where w.instance_id = submit.instance_id and w.status = 'pending') >= max_pending then
      return jsonb_build_object('outcome', 'full');
    end if;
    -- The message that it becomes must be one that can be published: what is added to it has less than 4 KiB.
    perform quantumflow.check_publish(quantumflow.find_queue('proposals_for_consensus_queue'),
      jsonb_build_object('instance_id', submit.instance_id), octet_length(proposal::text) + 4096);
    insert into singularity.proposal (proposal_id, instance_id, agent_type, agent_id, code_change, impact_score,
                                      risk_score, safety_profile, metadata, traceparent, priority_score)
      values (id, submit.instance_id, proposal ->> 'agent_type', proposal ->> 'agent_id', proposal -> 'code_change',
              (proposal ->> 'impact_score')::numeric, (proposal ->> 'risk_score')::numeric,
              proposal -> 'safety_profile', proposal -> 'metadata', proposal ->> 'traceparent',
              (proposal ->> 'priority_score')::numeric)
      on conflict do nothing returning * into p;
    if found then
      insert into singularity.proposal_step (instance_id, proposal_id, to_state, cause)
        values (submit.instance_id, id, 'pending', 'submitted');
      return jsonb_build_object('outcome', 'created', 'proposal', singularity.summary(p));
    end if;
    select * into p from singularity.proposal e where e.proposal_id = id;
  end if;
  if p.instance_id is distinct from submit.instance_id then
    return jsonb_build_object('outcome', 'other');
  end if;
  return jsonb_build_object('proposal', singularity.summary(p), 'outcome',
    case when p.agent_type = proposal ->> 'agent_type' and p.agent_id is not distinct from proposal ->> 'agent_id'
          and p.code_change = proposal -> 'code_change' and p.impact_score = (proposal ->> 'impact_score')::numeric
          and p.risk_score = (proposal ->> 'risk_score')::numeric and p.safety_profile = proposal -> 'safety_profile'
          and p.metadata is not distinct from proposal -> 'metadata'
         then 'same' else 'other' end);
end $$;

-- What ranking needs of the proposals that wait to be sent.
create function singularity.pending(instance_id text, max int)
returns table (proposal_id text, agent_type text, impact_score numeric, risk_score numeric, submitted_at timestamptz,
               waiting_ms bigint) language sql stable as $$
  select quantumflow.check_instance(instance_id);
  select p.proposal_id, p.agent_type, p.impact_score, p.risk_score, p.submitted_at,
         (extract(epoch from clock_timestamp() - p.submitted_at) * 1000)::bigint
    from singularity.proposal p where p.instance_id = pending.instance_id and p.status = 'pending'
   order by p.submitted_at, p.proposal_id limit pending.max
$$;

create function singularity.in_flight(instance_id text) returns bigint language sql stable as $$
  select quantumflow.check_instance(instance_id);
  select count(*) from singularity.proposal p
   where p.instance_id = in_flight.instance_id and p.status = 'sent_for_consensus'
$$;

-- How the latest `length` ended proposals of each agent type went; applied and watched to the end is a success.
create function singularity.track_records(instance_id text, length int)
returns table (agent_type text, ended bigint, succeeded bigint) language sql stable as $$
  select quantumflow.check_instance(instance_id);
  select t.agent_type, count(*), count(*) filter (where t.status = 'applied') from (
    select p.agent_type, p.status, row_number() over (partition by p.agent_type order by p.ended_at desc) as place
      from singularity.proposal p
     where p.instance_id = track_records.instance_id and p.ended_at is not null) t
   where t.place <= track_records.length group by t.agent_type
$$;

create function singularity.find_proposal(instance_id text, proposal_id text) returns jsonb language sql stable as $$
  select quantumflow.check_instance(instance_id);
  select singularity.full_proposal(p) from singularity.proposal p
   where p.instance_id = find_proposal.instance_id and p.proposal_id = find_proposal.proposal_id
$$;

-- In the transaction that publishes the proposal.
create function singularity.mark_sent(instance_id text, proposal_id text, priority_score numeric, message_id bigint)
returns void language plpgsql as $$
begin
  perform quantumflow.check_instance(instance_id);
  perform singularity.must_step(instance_id, proposal_id, 'sent_for_consensus', 'highest priority');
  update singularity.proposal p set priority_score = mark_sent.priority_score, sent_message = mark_sent.message_id
   where p.proposal_id = mark_sent.proposal_id;
end $$;

-- The queue refuses the proposal's message, and would at each sending: it ends here. False: it does not wait any more.
create function singularity.refuse_proposal(instance_id text, proposal_id text, failure text) returns boolean
language plpgsql as $$
begin
  perform quantumflow.check_instance(instance_id);
  if not (select s.stepped from singularity.step(instance_id, proposal_id, 'consensus_failed', failure) s) then return false; end if;
  update singularity.proposal p set failure = left(refuse_proposal.failure, 2000) where p.proposal_id = refuse_proposal.proposal_id;
  return true;
end $$;

-- Writes a consensus_result down. Answers recorded, repeated (decided before), unsent, unknown.
create function singularity.record_decision(instance_id text, proposal_id text, decision jsonb) returns text
language plpgsql as $$
declare
  p singularity.proposal;
  approved boolean := decision ->> 'status' = 'approved';
begin
  perform quantumflow.check_instance(instance_id);
  select * into p from singularity.proposal e
   where e.instance_id = record_decision.instance_id and e.proposal_id = record_decision.proposal_id for no key update;
  if not found then return 'unknown'; end if;
  if p.decided_at is not null then return 'repeated'; end if;
  if p.status <> 'sent_for_consensus' then return 'unsent'; end if;
  perform singularity.must_step(instance_id, proposal_id,
    case when approved then 'consensus_reached' else 'consensus_failed' end,
    coalesce((decision ->> 'rule') || ': ', '') || coalesce(decision ->> 'decision_rationale', ''));
  update singularity.proposal e
     set decision = record_decision.decision, decided_at = clock_timestamp(),
         failure = case when not approved then record_decision.decision ->> 'decision_rationale' end
   where e.proposal_id = record_decision.proposal_id;
  return 'recorded';
end $$;

-- ── Executing ──────────────────────────────────────────────────────────────────────────────────────────────────────

-- What to execute next: one that was begun (before a crash) first, then in the order of the decisions. One whose
-- rollback is asked for belongs to the rollback worker.
create function singularity.next_execution(instance_id text) returns jsonb language sql stable as $$
  select quantumflow.check_instance(instance_id);
  select singularity.full_proposal(p) || jsonb_build_object('journal', coalesce(
           (select jsonb_object_agg(j.step, jsonb_build_object('outcome', j.outcome, 'detail', j.detail))
              from singularity.execution_step j where j.proposal_id = p.proposal_id and j.outcome is not null), '{}'))
    from singularity.proposal p
   where p.instance_id = next_execution.instance_id and p.status in ('executing', 'consensus_reached')
     and not exists (select from singularity.rollback r where r.proposal_id = p.proposal_id)
   order by p.status = 'executing' desc, p.decided_at, p.proposal_id limit 1
$$;

-- Writes down that a step is about to be done. Answers go, or why not: rollback_requested, not_executing.
create function singularity.begin_step(instance_id text, proposal_id text, step text) returns text language plpgsql as $$
begin
  perform quantumflow.check_instance(instance_id);
  perform from singularity.proposal p
    where p.instance_id = begin_step.instance_id and p.proposal_id = begin_step.proposal_id and p.status = 'executing'
    for no key update;
  if not found then return 'not_executing'; end if;
  -- The request of a rollback locks the same row, so one that is committed is seen here. What was applied and refused
  -- is taken back by the execution itself.
  if step <> 'undo' and exists (select from singularity.rollback r where r.proposal_id = begin_step.proposal_id) then
    return 'rollback_requested';
  end if;
  insert into singularity.execution_step as j (proposal_id, instance_id, step)
    values (begin_step.proposal_id, begin_step.instance_id, begin_step.step)
    on conflict on constraint execution_step_pkey do update
       set attempts = j.attempts + 1, started_at = clock_timestamp(), finished_at = null, outcome = null, detail = null;
  return 'go';
end $$;

create function singularity.finish_step(instance_id text, proposal_id text, step text, outcome text, detail jsonb)
returns void language sql as $$
  select quantumflow.check_instance(instance_id);
  update singularity.execution_step j
     set finished_at = clock_timestamp(), outcome = finish_step.outcome, detail = finish_step.detail
   where j.instance_id = finish_step.instance_id and j.proposal_id = finish_step.proposal_id and j.step = finish_step.step
$$;

-- One at a time takes samples of a proposal, until its transaction ends: they are numbered in the order in which they become
-- visible, so that none can go out behind a later one. Not the proposal's row: a replay takes samples of many in the order of the
-- spool, and must not wait for batches that lock rows in another one. Rejected: an advisory lock, which any other instance's role
-- could take, and hold up a rollback with it.
create function singularity.sample_in_order(proposal_id text) returns void language sql as $$
  insert into singularity.sample_turn
  select p.proposal_id from singularity.proposal p where p.proposal_id = sample_in_order.proposal_id on conflict do nothing;
  select from singularity.sample_turn t where t.proposal_id = sample_in_order.proposal_id for update
$$;

-- Keeps a sample of a proposal's metrics for the reporter; returns its id, null for an unknown proposal.
create function singularity.record_sample(instance_id text, proposal_id text, status text, metrics_before jsonb,
                                          metrics_after jsonb, source text, told_traceparent text default null)
returns bigint language sql as $$
  select quantumflow.check_instance(instance_id);
  select singularity.sample_in_order(proposal_id);
  insert into singularity.sample (instance_id, proposal_id, agent_type, status, metrics_before, metrics_after, source, told_traceparent)
  select p.instance_id, p.proposal_id, p.agent_type, record_sample.status,
         coalesce(record_sample.metrics_before, p.metrics_before, '{}'), coalesce(record_sample.metrics_after, '{}'),
         record_sample.source, record_sample.told_traceparent
    from singularity.proposal p
   where p.instance_id = record_sample.instance_id and p.proposal_id = record_sample.proposal_id
  returning sample_id
$$;

create function singularity.begin_execution(instance_id text, proposal_id text) returns boolean language plpgsql as $$
begin
  perform quantumflow.check_instance(instance_id);
  return (select s.stepped from singularity.step(instance_id, proposal_id, 'executing', 'approved') s);
end $$;

-- executing → applied: starts the observation window and keeps the first sample. False: the step was refused.
create function singularity.finish_applied(instance_id text, proposal_id text, applied jsonb, metrics_before jsonb,
                                           metrics_after jsonb, window_seconds bigint, interval_ms bigint,
                                           told_traceparent text default null)
returns boolean language plpgsql as $$
begin
  perform quantumflow.check_instance(instance_id);
  if exists (select from singularity.rollback r where r.proposal_id = finish_applied.proposal_id)
     or not (select s.stepped from singularity.step(instance_id, proposal_id, 'applied',
                                                    coalesce(applied ->> 'diffstat', 'applied')) s) then
    return false;
  end if;
  update singularity.proposal p
     set applied = finish_applied.applied, base_commit = nullif(finish_applied.applied ->> 'base_commit', ''),
         applied_commit = nullif(finish_applied.applied ->> 'commit', ''), applied_at = clock_timestamp(),
         metrics_before = finish_applied.metrics_before, metrics_after = finish_applied.metrics_after,
         watch_until = clock_timestamp() + window_seconds * interval '1 second',
         next_sample_at = clock_timestamp() + interval_ms * interval '1 millisecond'
   where p.proposal_id = finish_applied.proposal_id;
  perform singularity.record_sample(instance_id, proposal_id, 'applied', metrics_before, metrics_after, 'agent', told_traceparent);
  return true;
end $$;

-- executing → failed; where what was applied could not be taken back (`undone` false): → rollback_failed.
create function singularity.fail_execution(instance_id text, proposal_id text, failure text, undone boolean,
                                           metrics_before jsonb, metrics_after jsonb) returns boolean language plpgsql as $$
declare new_state text := case when undone then 'failed' else 'rollback_failed' end;
begin
  perform quantumflow.check_instance(instance_id);
  if not (select s.stepped from singularity.step(instance_id, proposal_id, new_state, failure) s) then return false; end if;
  update singularity.proposal p
     set failure = fail_execution.failure, metrics_before = coalesce(fail_execution.metrics_before, p.metrics_before),
         metrics_after = coalesce(fail_execution.metrics_after, p.metrics_after)
   where p.proposal_id = fail_execution.proposal_id;
  perform singularity.record_sample(instance_id, proposal_id, new_state, metrics_before, metrics_after, 'agent');
  return true;
end $$;

-- ── Watching and reporting ─────────────────────────────────────────────────────────────────────────────────────────

-- Ends the observation of one change whose window is over, and returns it; null: none is. One at a time, since others
-- lock several changes in an order of their own.
create function singularity.end_watch(instance_id text) returns text language sql as $$
  select quantumflow.check_instance(instance_id);
  update singularity.proposal p set next_sample_at = null, ended_at = clock_timestamp(), changed_at = clock_timestamp()
   where p.proposal_id = (select o.proposal_id from singularity.proposal o
                           where o.instance_id = end_watch.instance_id and o.next_sample_at is not null
                             and o.watch_until <= clock_timestamp() and o.status = 'applied'
                           order by o.watch_until, o.proposal_id limit 1)
     and p.next_sample_at is not null and p.status = 'applied'  -- still so, if it had to wait for the row
  returning p.proposal_id
$$;

-- Changes whose next sample is due, with what their agents told since the one before it. One report is one sample: in each later
-- one it would count as another breach, or stand for an agent that died. What is told while the sample is taken is for the next.
create function singularity.due_watches(instance_id text, max int)
returns table (proposal_id text, agent_type text, told jsonb, traceparent text, told_at timestamptz) language sql stable as $$
  select quantumflow.check_instance(instance_id);
  select p.proposal_id, p.agent_type, coalesce(m.metrics, '{}'), m.traceparent, m.told_at
    from singularity.proposal p
    left join singularity.agent_metrics m
      on m.instance_id = p.instance_id and m.agent_type = p.agent_type and m.told_at > coalesce(p.told_at, p.applied_at)
   where p.instance_id = due_watches.instance_id and p.next_sample_at <= clock_timestamp() and p.status = 'applied'
   order by p.next_sample_at limit due_watches.max
$$;

-- Milliseconds until the next sample or end of a window; null when nothing is watched.
create function singularity.next_watch_ms(instance_id text) returns bigint language sql stable as $$
  select quantumflow.check_instance(instance_id);
  select greatest(0, ceil(extract(epoch from min(least(p.next_sample_at, p.watch_until)) - clock_timestamp()) * 1000))::bigint
    from singularity.proposal p
   where p.instance_id = next_watch_ms.instance_id and p.next_sample_at is not null
  having count(*) > 0  -- greatest() ignores null: "nothing" would read as "now"
$$;

-- `told_at`: as due_watches gave it, where `metrics` has something told.
create function singularity.record_watch(instance_id text, proposal_id text, metrics jsonb, interval_ms bigint,
                                         told_traceparent text default null, told_at timestamptz default null)
returns boolean language plpgsql as $$
begin
  perform quantumflow.check_instance(instance_id);
  update singularity.proposal p
     set next_sample_at = clock_timestamp() + interval_ms * interval '1 millisecond', metrics_after = metrics,
         told_at = coalesce(record_watch.told_at, p.told_at)
   where p.instance_id = record_watch.instance_id and p.proposal_id = record_watch.proposal_id
     and p.status = 'applied' and p.next_sample_at is not null;
  if not found then return false; end if;
  perform singularity.record_sample(instance_id, proposal_id, 'monitoring', null, metrics, 'agent', told_traceparent);
  return true;
end $$;

-- A sample that a caller reports of one of its proposals. Answers recorded, unknown, or the state in which none is
-- expected.
create function singularity.report_metrics(instance_id text, proposal_id text, metrics jsonb, traceparent text default null)
returns text language plpgsql as $$
declare current text;
begin
  perform quantumflow.check_instance(instance_id);
  perform singularity.sample_in_order(proposal_id);
  select p.status into current from singularity.proposal p
   where p.instance_id = report_metrics.instance_id and p.proposal_id = report_metrics.proposal_id;
  if current is null then return 'unknown'; end if;
  if current not in ('executing', 'applied') then return current; end if;
  perform singularity.record_sample(instance_id, proposal_id,
    case current when 'applied' then 'monitoring' else 'executing' end, null, metrics, 'caller', traceparent);
  return 'recorded';
end $$;

create function singularity.tell_metrics(instance_id text, agent_type text, metrics jsonb, traceparent text default null)
returns void language sql as $$
  select quantumflow.check_instance(instance_id);
  insert into singularity.agent_metrics as m (instance_id, agent_type, metrics, traceparent)
  values (tell_metrics.instance_id, tell_metrics.agent_type, tell_metrics.metrics, tell_metrics.traceparent)
  on conflict on constraint agent_metrics_pkey do update
     set metrics = excluded.metrics, traceparent = excluded.traceparent, told_at = clock_timestamp()
$$;

-- What agents of the type told within the last `max_age_ms`; no row: nothing.
create function singularity.told_metrics(instance_id text, agent_type text, max_age_ms bigint)
returns table (told jsonb, traceparent text) language sql stable as $$
  select quantumflow.check_instance(instance_id);
  select m.metrics, m.traceparent from singularity.agent_metrics m
   where m.instance_id = told_metrics.instance_id and m.agent_type = told_metrics.agent_type
     and m.told_at >= clock_timestamp() - max_age_ms * interval '1 millisecond'
$$;

create function singularity.unreported_samples(instance_id text, max int) returns setof jsonb language sql stable as $$
  select quantumflow.check_instance(instance_id);
  select jsonb_build_object('sample_id', s.sample_id, 'proposal_id', s.proposal_id, 'agent_type', s.agent_type,
           'status', s.status, 'metrics_before', s.metrics_before, 'metrics_after', s.metrics_after,
           'timestamp', singularity.rfc3339(s.taken_at),
           'traceparent', (select p.traceparent from singularity.proposal p where p.proposal_id = s.proposal_id),
           'metrics_traceparent', s.told_traceparent)
    from singularity.sample s
   where s.instance_id = unreported_samples.instance_id and s.message_id is null and s.problem is null
   order by s.sample_id limit unreported_samples.max
$$;

-- In the transaction that publishes the sample; false: somebody else did.
create function singularity.mark_reported(instance_id text, sample_id bigint, message_id bigint) returns boolean
language plpgsql as $$
begin
  perform quantumflow.check_instance(instance_id);
  update singularity.sample s set message_id = mark_reported.message_id
   where s.instance_id = mark_reported.instance_id and s.sample_id = mark_reported.sample_id and s.message_id is null;
  return found;
end $$;

create function singularity.mark_unreportable(instance_id text, sample_id bigint, problem text) returns void
language sql as $$
  select quantumflow.check_instance(instance_id);
  update singularity.sample s set problem = left(mark_unreportable.problem, 2000)
   where s.instance_id = mark_unreportable.instance_id and s.sample_id = mark_unreportable.sample_id
$$;

-- ── Rolling back ───────────────────────────────────────────────────────────────────────────────────────────────────

-- Writes a rollback_trigger down for the rollback worker. Answers requested, repeated, unknown, nothing_applied (not
-- approved yet) or ended (there is nothing to take back any more).
create function singularity.request_rollback(instance_id text, proposal_id text, rollback_id text, reason text,
                                             trigger jsonb) returns text language plpgsql as $$
declare current text;
begin
  perform quantumflow.check_instance(instance_id);
  select p.status into current from singularity.proposal p
   where p.instance_id = request_rollback.instance_id and p.proposal_id = request_rollback.proposal_id for no key update;
  if current is null then return 'unknown'; end if;
  if exists (select from singularity.rollback r where r.proposal_id = request_rollback.proposal_id) then
    return 'repeated';
  elsif current in ('pending', 'sent_for_consensus') then return 'nothing_applied';
  elsif current not in ('consensus_reached', 'executing', 'applied') then return 'ended';
  end if;
  insert into singularity.rollback (rollback_id, instance_id, proposal_id, reason, trigger)
    values (coalesce(request_rollback.rollback_id, gen_random_uuid()::text), request_rollback.instance_id,
            request_rollback.proposal_id, request_rollback.reason, request_rollback.trigger);
  return 'requested';
end $$;

-- The rollback to do next, with its proposal; null when there is none due.
create function singularity.next_rollback(instance_id text) returns jsonb language sql stable as $$
  select quantumflow.check_instance(instance_id);
  select jsonb_build_object('rollback_id', r.rollback_id, 'proposal_id', r.proposal_id, 'reason', r.reason,
           'trigger', r.trigger, 'attempts', r.attempts, 'proposal', singularity.full_proposal(p))
    from singularity.rollback r join singularity.proposal p using (proposal_id)
   where r.instance_id = next_rollback.instance_id and r.finished_at is null and r.next_attempt_at <= clock_timestamp()
   order by r.requested_at, r.rollback_id limit 1
$$;

-- A change that was approved and not begun is begun here, so that its rollback is a step like any other. False: the
-- execution failed meanwhile and undid the change itself, or could not; the rollback ends as that did.
create function singularity.begin_rollback(instance_id text, rollback_id text) returns boolean language plpgsql as $$
declare
  r singularity.rollback;
  current text;
begin
  perform quantumflow.check_instance(instance_id);
  update singularity.rollback b
     set state = 'running', attempts = b.attempts + 1, started_at = coalesce(b.started_at, clock_timestamp())
   where b.instance_id = begin_rollback.instance_id and b.rollback_id = begin_rollback.rollback_id
     and b.finished_at is null returning * into r;
  if not found then return false; end if;
  select p.status into current from singularity.proposal p where p.proposal_id = r.proposal_id for no key update;
  if current = 'consensus_reached' then
    perform singularity.must_step(instance_id, r.proposal_id, 'executing', 'cancelled by rollback ' || r.rollback_id);
  elsif current not in ('executing', 'applied') then
    update singularity.rollback b
       set state = case when current = 'rollback_failed' then 'failed' else 'completed' end, finished_at = clock_timestamp(),
           steps = jsonb_build_array(jsonb_build_object(
             'name', 'undo', 'outcome', case when current = 'rollback_failed' then 'failed' else 'done' end,
             'detail', 'the execution had ended as ' || current))
     where b.rollback_id = r.rollback_id;
    return false;
  end if;
  return true;
end $$;

-- Writes down that a step is about to be run. Null: for the first time; otherwise {outcome, detail, duration_ms} of an earlier run
-- of the agent, without them where that ended in the middle of it.
create function singularity.begin_rollback_step(instance_id text, rollback_id text, place int, name text) returns jsonb
language plpgsql as $$
declare j singularity.rollback_step;
begin
  perform quantumflow.check_instance(instance_id);
  update singularity.rollback_step e set attempts = e.attempts + 1
   where e.instance_id = begin_rollback_step.instance_id and e.rollback_id = begin_rollback_step.rollback_id
     and e.place = begin_rollback_step.place returning * into j;
  if found then
    return jsonb_strip_nulls(jsonb_build_object('outcome', j.outcome, 'detail', j.detail, 'duration_ms', j.duration_ms));
  end if;
  insert into singularity.rollback_step (rollback_id, instance_id, place, name)
  select r.rollback_id, r.instance_id, begin_rollback_step.place, begin_rollback_step.name from singularity.rollback r
   where r.instance_id = begin_rollback_step.instance_id and r.rollback_id = begin_rollback_step.rollback_id;
  return null;
end $$;

create function singularity.finish_rollback_step(instance_id text, rollback_id text, place int, outcome text, detail text,
                                                 duration_ms bigint) returns void language sql as $$
  select quantumflow.check_instance(instance_id);
  update singularity.rollback_step e
     set finished_at = clock_timestamp(), outcome = finish_rollback_step.outcome, detail = finish_rollback_step.detail,
         duration_ms = finish_rollback_step.duration_ms
   where e.instance_id = finish_rollback_step.instance_id and e.rollback_id = finish_rollback_step.rollback_id
     and e.place = finish_rollback_step.place
$$;

create function singularity.postpone_rollback(instance_id text, rollback_id text, delay_ms bigint, steps jsonb)
returns void language sql as $$
  select quantumflow.check_instance(instance_id);
  update singularity.rollback r
     set next_attempt_at = clock_timestamp() + delay_ms * interval '1 millisecond', steps = postpone_rollback.steps
   where r.instance_id = postpone_rollback.instance_id and r.rollback_id = postpone_rollback.rollback_id
$$;

create function singularity.finish_rollback(instance_id text, rollback_id text, completed boolean, detail text,
                                            steps jsonb, metrics_after jsonb, told_traceparent text default null)
returns void language plpgsql as $$
declare
  r singularity.rollback;
  new_state text := case when completed then 'rolled_back' else 'rollback_failed' end;
begin
  perform quantumflow.check_instance(instance_id);
  update singularity.rollback b
     set state = case when completed then 'completed' else 'failed' end, finished_at = clock_timestamp(),
         steps = finish_rollback.steps
   where b.instance_id = finish_rollback.instance_id and b.rollback_id = finish_rollback.rollback_id
     and b.finished_at is null returning * into r;
  if not found then return; end if;  -- done before
  perform singularity.must_step(instance_id, r.proposal_id, new_state, r.reason || ': ' || detail);
  update singularity.proposal p
     set failure = case when completed then p.failure else detail end, metrics_after = finish_rollback.metrics_after
   where p.proposal_id = r.proposal_id;
  perform singularity.record_sample(instance_id, r.proposal_id, new_state, null, metrics_after, 'agent', told_traceparent);
end $$;
