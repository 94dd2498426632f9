-- Singularity: what one instance's agent knows of its proposals, votes, executions and rollbacks. Every row carries its
-- instance and every function takes it and acts on that instance's rows only; sql/README.md explains the conventions.
create schema if not exists singularity;
comment on schema singularity is 'The agents'' own rows, one partition an instance. People read them; only the agent writes them.';

-- ── Tables ─────────────────────────────────────────────────────────────────────────────────────────────────────────

create table singularity.proposal (
  proposal_id    text primary key check (length(proposal_id) between 1 and 200),
  instance_id    text not null check (length(instance_id) between 1 and 200),
  agent_type     text not null check (length(agent_type) between 1 and 200),
  agent_id       text check (length(agent_id) between 1 and 200),
  code_change    jsonb not null check (jsonb_typeof(code_change) = 'object'),
  impact_score   numeric not null check (impact_score between 1 and 10),
  risk_score     numeric not null check (risk_score between 1 and 10),
  safety_profile jsonb not null check (jsonb_typeof(safety_profile) = 'object'),
  metadata       jsonb check (jsonb_typeof(metadata) = 'object'),
  status         text not null default 'pending' check (status in ('pending', 'sent_for_consensus', 'consensus_reached',
                   'consensus_failed', 'executing', 'applied', 'failed', 'rolled_back', 'rollback_failed')),
  priority_score numeric not null default 0 check (priority_score >= 0),  -- when it was submitted; then, when it was sent
  submitted_at   timestamptz not null default clock_timestamp(),
  changed_at     timestamptz not null default clock_timestamp(),
  sent_message   bigint,          -- of the message that asked for consensus
  decision       jsonb,           -- the consensus_result as it came
  decided_at     timestamptz,
  failure        text,            -- why it failed or could not be rolled back
  base_commit    text,            -- what the repository was at
  applied_commit text,
  applied        jsonb,           -- what the executor said: paths, diffstat, duration
  applied_at     timestamptz,
  metrics_before jsonb check (jsonb_typeof(metrics_before) = 'object'),
  metrics_after  jsonb check (jsonb_typeof(metrics_after) = 'object'),
  watch_until    timestamptz,     -- end of the observation window
  next_sample_at timestamptz,     -- null: not watched (any more)
  ended_at       timestamptz);    -- no step is expected any more: a final state, or applied and watched to the end
create index on singularity.proposal (instance_id, status, submitted_at);  -- pending to rank, waiting to execute, lists
create index on singularity.proposal (instance_id, submitted_at desc, proposal_id desc);  -- pages of all states
create index on singularity.proposal (instance_id, agent_type, ended_at desc) where ended_at is not null;  -- track record
create index on singularity.proposal (instance_id, next_sample_at) where next_sample_at is not null;  -- due samples

-- The history: one row a step, written in the transaction that makes it.
create table singularity.proposal_step (
  step_id     bigint generated always as identity primary key,
  xid         xid8 not null default pg_current_xact_id(),  -- lets a follower read on without missing a late commit
  instance_id text not null,
  proposal_id text not null references singularity.proposal,
  from_state  text,               -- null: submitted
  to_state    text not null,
  cause       text not null,
  at          timestamptz not null default clock_timestamp());
create index on singularity.proposal_step (proposal_id, step_id);       -- the story of one
create index on singularity.proposal_step (instance_id, xid, step_id);  -- following all

create table singularity.vote_request (
  instance_id text not null,
  proposal_id text not null,
  proposer    text not null,
  request     jsonb not null,      -- the voting_request as it came
  deadline    timestamptz not null,
  received_at timestamptz not null default clock_timestamp(),
  vote        text check (vote in ('approve', 'reject')),
  confidence  numeric check (confidence between 0 and 1),
  reason      text,
  answered_by text check (answered_by in ('policy', 'command', 'person')),
  answered_at timestamptz,
  message_id  bigint,              -- of the vote
  problem     text,                -- why the command gave no vote
  attempts    int not null default 0,
  primary key (instance_id, proposal_id),
  check ((vote is null) = (answered_at is null) and (vote is null) = (confidence is null)));
create index on singularity.vote_request (instance_id, deadline) where answered_at is null;  -- what waits

-- The journal of an execution: what is found again after a crash.
create table singularity.execution_step (
  proposal_id text not null references singularity.proposal,
  instance_id text not null,
  step        text not null check (step in ('check_profile', 'metrics_before', 'apply', 'verify', 'metrics_after', 'undo')),
  attempts    int not null default 1,
  started_at  timestamptz not null default clock_timestamp(),
  finished_at timestamptz,
  outcome     text check (outcome in ('done', 'failed')),
  detail      jsonb,
  primary key (proposal_id, step),
  check ((finished_at is null) = (outcome is null)));

create table singularity.rollback (
  rollback_id  text primary key check (length(rollback_id) between 1 and 200),
  instance_id  text not null,
  proposal_id  text not null unique references singularity.proposal,  -- a change is rolled back at most once
  reason       text not null,
  trigger      jsonb not null,     -- the rollback_trigger as it came
  state        text not null default 'requested' check (state in ('requested', 'running', 'completed', 'failed')),
  steps        jsonb,              -- [{name, outcome, detail, duration_ms}]
  attempts     int not null default 0,
  next_attempt_at timestamptz not null default clock_timestamp(),
  requested_at timestamptz not null default clock_timestamp(),
  started_at   timestamptz,
  finished_at  timestamptz,
  check ((finished_at is null) = (state in ('requested', 'running'))));
create index on singularity.rollback (instance_id, next_attempt_at) where finished_at is null;  -- what is to be done

-- Metrics on their way to the Guardian: kept here first, so that publishing them never fails what they are about.
create table singularity.sample (
  sample_id      bigint generated always as identity primary key,
  instance_id    text not null,
  proposal_id    text not null references singularity.proposal,
  agent_type     text not null,
  status         text not null check (status in ('executing', 'applied', 'monitoring', 'failed', 'rolled_back', 'rollback_failed')),
  metrics_before jsonb not null check (jsonb_typeof(metrics_before) = 'object'),
  metrics_after  jsonb not null check (jsonb_typeof(metrics_after) = 'object'),
  source         text not null check (source in ('agent', 'caller')),
  taken_at       timestamptz not null default clock_timestamp(),
  message_id     bigint,
  problem        text);            -- why it can never be published
create index on singularity.sample (proposal_id, sample_id);  -- the story of one
create index on singularity.sample (instance_id, sample_id) where message_id is null and problem is null;  -- to report

-- The latest metrics that agents of a type told; they go out with the samples of that type's watched changes.
create table singularity.agent_metrics (
  instance_id text not null,
  agent_type  text not null check (length(agent_type) between 1 and 200),
  metrics     jsonb not null check (jsonb_typeof(metrics) = 'object'),
  told_at     timestamptz not null default clock_timestamp(),
  primary key (instance_id, agent_type));

create table singularity.safety_profile (
  instance_id text not null,
  agent_type  text not null,
  profile     jsonb not null check (jsonb_typeof(profile) = 'object'),
  source      text not null,
  sent_at     timestamptz not null,   -- of the message: an older one never replaces a newer
  received_at timestamptz not null default clock_timestamp(),
  primary key (instance_id, agent_type));

create table singularity.pattern (
  instance_id      text not null,
  pattern_id       text not null,
  pattern_type     text not null,
  code_pattern     jsonb not null check (jsonb_typeof(code_pattern) = 'object'),
  success_rate     numeric not null check (success_rate between 0 and 1),
  consensus_score  numeric not null,
  source_instances jsonb not null,
  usage_count      bigint not null check (usage_count >= 0),
  sent_at          timestamptz not null,
  received_at      timestamptz not null default clock_timestamp(),
  primary key (instance_id, pattern_id));
create index on singularity.pattern (instance_id, pattern_type, success_rate desc);  -- suggestions of a type

-- ── States ─────────────────────────────────────────────────────────────────────────────────────────────────────────

-- The only steps there are; the agent's states.cpp has the same table and a test compares the two.
create function singularity.allowed_steps() returns table (from_state text, to_state text) language sql immutable as $$
  values ('pending', 'sent_for_consensus'), ('sent_for_consensus', 'consensus_reached'),
         ('sent_for_consensus', 'consensus_failed'), ('consensus_reached', 'executing'), ('executing', 'applied'),
         ('executing', 'failed'), ('executing', 'rolled_back'), ('executing', 'rollback_failed'),
         ('applied', 'rolled_back'), ('applied', 'rollback_failed')
$$;

-- Takes a step and writes it into the history. stepped = false: refused, from_state is where the proposal stands (null:
-- this instance has no such proposal).
create function singularity.step(instance_id text, proposal_id text, to_state text, cause text)
returns table (stepped boolean, from_state text) language plpgsql as $$
declare current text;
begin
  select p.status into current from singularity.proposal p
   where p.proposal_id = step.proposal_id and p.instance_id = step.instance_id for update;
  if current is null or not exists (select from singularity.allowed_steps() a
                                     where a.from_state = current and a.to_state = step.to_state) then
    return query select false, current;
    return;
  end if;
  update singularity.proposal p
     set status = step.to_state, changed_at = clock_timestamp(),
         ended_at = case when step.to_state in ('consensus_failed', 'failed', 'rolled_back', 'rollback_failed')
                         then clock_timestamp() end,
         next_sample_at = case when step.to_state = 'applied' then p.next_sample_at end
   where p.proposal_id = step.proposal_id;
  insert into singularity.proposal_step (instance_id, proposal_id, from_state, to_state, cause)
    values (step.instance_id, step.proposal_id, current, step.to_state, left(step.cause, 2000));
  return query select true, current;
end $$;

-- step() for callers that know the step to be right: raises where it is refused.
create function singularity.must_step(instance_id text, proposal_id text, to_state text, cause text) returns void
language plpgsql as $$
declare taken record;
begin
  select * into taken from singularity.step(instance_id, proposal_id, to_state, cause);
  if not taken.stepped then
    raise exception 'proposal_id: "%" is % and cannot become %', left(proposal_id, 200),
      coalesce(taken.from_state, 'unknown'), to_state using errcode = 'object_not_in_prerequisite_state';
  end if;
end $$;

create function singularity.rfc3339(at timestamptz) returns text language sql stable as
  $$ select to_char(at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') $$;

-- A proposal as the local API shows it in lists (without its change, which may be megabytes).
create function singularity.summary(p singularity.proposal) returns jsonb language sql stable as $$
  select jsonb_strip_nulls(jsonb_build_object(
    'proposal_id', p.proposal_id, 'instance_id', p.instance_id, 'agent_type', p.agent_type, 'agent_id', p.agent_id,
    'status', p.status, 'impact_score', p.impact_score, 'risk_score', p.risk_score, 'priority_score', p.priority_score,
    'description', p.metadata ->> 'description',
    'submitted_at', singularity.rfc3339(p.submitted_at), 'changed_at', singularity.rfc3339(p.changed_at),
    'decided_at', singularity.rfc3339(p.decided_at), 'applied_at', singularity.rfc3339(p.applied_at),
    'watch_until', singularity.rfc3339(p.watch_until), 'ended_at', singularity.rfc3339(p.ended_at),
    'base_commit', p.base_commit, 'applied_commit', p.applied_commit, 'failure', p.failure))
$$;

create function singularity.full_proposal(p singularity.proposal) returns jsonb language sql stable as $$
  select singularity.summary(p) || jsonb_build_object('code_change', p.code_change, 'safety_profile', p.safety_profile)
      || case when p.metadata is null then '{}' else jsonb_build_object('metadata', p.metadata) end
      || jsonb_strip_nulls(jsonb_build_object('applied', p.applied, 'metrics_before', p.metrics_before,
                                              'metrics_after', p.metrics_after))
$$;

-- ── Proposing ──────────────────────────────────────────────────────────────────────────────────────────────────────

-- Submits a proposal: {proposal_id, agent_type, code_change, impact_score, risk_score, safety_profile, agent_id?,
-- metadata?, priority_score}. Answers {outcome, proposal}; outcome: created, same (the id is there with this content),
-- other (it is there with other content, or belongs to another instance), full (`max_pending` wait already).
create function singularity.submit(instance_id text, proposal jsonb, max_pending int) returns jsonb language plpgsql as $$
declare
  p singularity.proposal;
  id text := proposal ->> 'proposal_id';
begin
  select * into p from singularity.proposal e where e.proposal_id = id;
  if not found then
    if (select count(*) from singularity.proposal w
         where w.instance_id = submit.instance_id and w.status = 'pending') >= max_pending then
      return jsonb_build_object('outcome', 'full');
    end if;
    insert into singularity.proposal (proposal_id, instance_id, agent_type, agent_id, code_change, impact_score,
                                      risk_score, safety_profile, metadata, priority_score)
      values (id, submit.instance_id, proposal ->> 'agent_type', proposal ->> 'agent_id', proposal -> 'code_change',
              (proposal ->> 'impact_score')::numeric, (proposal ->> 'risk_score')::numeric,
              proposal -> 'safety_profile', proposal -> 'metadata', (proposal ->> 'priority_score')::numeric)
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
  select p.proposal_id, p.agent_type, p.impact_score, p.risk_score, p.submitted_at,
         (extract(epoch from clock_timestamp() - p.submitted_at) * 1000)::bigint
    from singularity.proposal p where p.instance_id = pending.instance_id and p.status = 'pending'
   order by p.submitted_at, p.proposal_id limit pending.max
$$;

create function singularity.in_flight(instance_id text) returns bigint language sql stable as $$
  select count(*) from singularity.proposal p
   where p.instance_id = in_flight.instance_id and p.status = 'sent_for_consensus'
$$;

-- How the latest `length` ended proposals of each agent type went; applied and watched to the end is a success.
create function singularity.track_records(instance_id text, length int)
returns table (agent_type text, ended bigint, succeeded bigint) language sql stable as $$
  select t.agent_type, count(*), count(*) filter (where t.status = 'applied') from (
    select p.agent_type, p.status, row_number() over (partition by p.agent_type order by p.ended_at desc) as place
      from singularity.proposal p
     where p.instance_id = track_records.instance_id and p.ended_at is not null) t
   where t.place <= track_records.length group by t.agent_type
$$;

create function singularity.find_proposal(instance_id text, proposal_id text) returns jsonb language sql stable as $$
  select singularity.full_proposal(p) from singularity.proposal p
   where p.instance_id = find_proposal.instance_id and p.proposal_id = find_proposal.proposal_id
$$;

-- In the transaction that publishes the proposal.
create function singularity.mark_sent(instance_id text, proposal_id text, priority_score numeric, message_id bigint)
returns void language plpgsql as $$
begin
  perform singularity.must_step(instance_id, proposal_id, 'sent_for_consensus', 'highest priority');
  update singularity.proposal p set priority_score = mark_sent.priority_score, sent_message = mark_sent.message_id
   where p.proposal_id = mark_sent.proposal_id;
end $$;

-- Writes a consensus_result down. Answers recorded, repeated (decided before), unsent, unknown.
create function singularity.record_decision(instance_id text, proposal_id text, decision jsonb) returns text
language plpgsql as $$
declare
  p singularity.proposal;
  approved boolean := decision ->> 'status' = 'approved';
begin
  select * into p from singularity.proposal e
   where e.instance_id = record_decision.instance_id and e.proposal_id = record_decision.proposal_id for update;
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
  perform from singularity.proposal p
    where p.instance_id = begin_step.instance_id and p.proposal_id = begin_step.proposal_id and p.status = 'executing'
    for update;
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
  update singularity.execution_step j
     set finished_at = clock_timestamp(), outcome = finish_step.outcome, detail = finish_step.detail
   where j.instance_id = finish_step.instance_id and j.proposal_id = finish_step.proposal_id and j.step = finish_step.step
$$;

-- Keeps a sample of a proposal's metrics for the reporter; returns its id, null for an unknown proposal.
create function singularity.record_sample(instance_id text, proposal_id text, status text, metrics_before jsonb,
                                          metrics_after jsonb, source text) returns bigint language sql as $$
  insert into singularity.sample (instance_id, proposal_id, agent_type, status, metrics_before, metrics_after, source)
  select p.instance_id, p.proposal_id, p.agent_type, record_sample.status,
         coalesce(record_sample.metrics_before, p.metrics_before, '{}'), coalesce(record_sample.metrics_after, '{}'),
         record_sample.source
    from singularity.proposal p
   where p.instance_id = record_sample.instance_id and p.proposal_id = record_sample.proposal_id
  returning sample_id
$$;

create function singularity.begin_execution(instance_id text, proposal_id text) returns boolean language plpgsql as $$
begin
  return (select s.stepped from singularity.step(instance_id, proposal_id, 'executing', 'approved') s);
end $$;

-- executing → applied: starts the observation window and keeps the first sample. False: the step was refused.
create function singularity.finish_applied(instance_id text, proposal_id text, applied jsonb, metrics_before jsonb,
                                           metrics_after jsonb, window_seconds bigint, interval_ms bigint)
returns boolean language plpgsql as $$
begin
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
  perform singularity.record_sample(instance_id, proposal_id, 'applied', metrics_before, metrics_after, 'agent');
  return true;
end $$;

-- executing → failed; where what was applied could not be taken back (`undone` false): → rollback_failed.
create function singularity.fail_execution(instance_id text, proposal_id text, failure text, undone boolean,
                                           metrics_before jsonb, metrics_after jsonb) returns boolean language plpgsql as $$
declare new_state text := case when undone then 'failed' else 'rollback_failed' end;
begin
  if not (select s.stepped from singularity.step(instance_id, proposal_id, new_state, failure) s) then return false; end if;
  update singularity.proposal p
     set failure = fail_execution.failure, metrics_before = coalesce(fail_execution.metrics_before, p.metrics_before),
         metrics_after = coalesce(fail_execution.metrics_after, p.metrics_after)
   where p.proposal_id = fail_execution.proposal_id;
  perform singularity.record_sample(instance_id, proposal_id, new_state, metrics_before, metrics_after, 'agent');
  return true;
end $$;

-- ── Watching and reporting ─────────────────────────────────────────────────────────────────────────────────────────

-- Ends the observation of changes whose window is over; returns them.
create function singularity.end_watches(instance_id text) returns setof text language sql as $$
  update singularity.proposal p set next_sample_at = null, ended_at = clock_timestamp(), changed_at = clock_timestamp()
   where p.instance_id = end_watches.instance_id and p.next_sample_at is not null and p.watch_until <= clock_timestamp()
     and p.status = 'applied'
  returning p.proposal_id
$$;

-- Changes whose next sample is due, with what their agents told in the meantime.
create function singularity.due_watches(instance_id text, max int)
returns table (proposal_id text, agent_type text, told jsonb) language sql stable as $$
  select p.proposal_id, p.agent_type, coalesce(m.metrics, '{}')
    from singularity.proposal p
    left join singularity.agent_metrics m
      on m.instance_id = p.instance_id and m.agent_type = p.agent_type and m.told_at >= p.applied_at
   where p.instance_id = due_watches.instance_id and p.next_sample_at <= clock_timestamp() and p.status = 'applied'
   order by p.next_sample_at limit due_watches.max
$$;

-- Milliseconds until the next sample or end of a window; null when nothing is watched.
create function singularity.next_watch_ms(instance_id text) returns bigint language sql stable as $$
  select greatest(0, ceil(extract(epoch from min(least(p.next_sample_at, p.watch_until)) - clock_timestamp()) * 1000))::bigint
    from singularity.proposal p
   where p.instance_id = next_watch_ms.instance_id and p.next_sample_at is not null
  having count(*) > 0  -- greatest() ignores null: "nothing" would read as "now"
$$;

create function singularity.record_watch(instance_id text, proposal_id text, metrics jsonb, interval_ms bigint)
returns boolean language plpgsql as $$
begin
  update singularity.proposal p
     set next_sample_at = clock_timestamp() + interval_ms * interval '1 millisecond', metrics_after = metrics
   where p.instance_id = record_watch.instance_id and p.proposal_id = record_watch.proposal_id
     and p.status = 'applied' and p.next_sample_at is not null;
  if not found then return false; end if;
  perform singularity.record_sample(instance_id, proposal_id, 'monitoring', null, metrics, 'agent');
  return true;
end $$;

-- A sample that a caller reports of one of its proposals. Answers recorded, unknown, or the state in which none is
-- expected.
create function singularity.report_metrics(instance_id text, proposal_id text, metrics jsonb) returns text
language plpgsql as $$
declare current text;
begin
  select p.status into current from singularity.proposal p
   where p.instance_id = report_metrics.instance_id and p.proposal_id = report_metrics.proposal_id;
  if current is null then return 'unknown'; end if;
  if current not in ('executing', 'applied') then return current; end if;
  perform singularity.record_sample(instance_id, proposal_id,
    case current when 'applied' then 'monitoring' else 'executing' end, null, metrics, 'caller');
  return 'recorded';
end $$;

create function singularity.tell_metrics(instance_id text, agent_type text, metrics jsonb) returns void language sql as $$
  insert into singularity.agent_metrics as m (instance_id, agent_type, metrics)
  values (tell_metrics.instance_id, tell_metrics.agent_type, tell_metrics.metrics)
  on conflict on constraint agent_metrics_pkey do update set metrics = excluded.metrics, told_at = clock_timestamp()
$$;

-- What agents of the type told within the last `max_age_ms`.
create function singularity.told_metrics(instance_id text, agent_type text, max_age_ms bigint) returns jsonb
language sql stable as $$
  select coalesce((select m.metrics from singularity.agent_metrics m
                    where m.instance_id = told_metrics.instance_id and m.agent_type = told_metrics.agent_type
                      and m.told_at >= clock_timestamp() - max_age_ms * interval '1 millisecond'), '{}')
$$;

create function singularity.unreported_samples(instance_id text, max int) returns setof jsonb language sql stable as $$
  select jsonb_build_object('sample_id', s.sample_id, 'proposal_id', s.proposal_id, 'agent_type', s.agent_type,
           'status', s.status, 'metrics_before', s.metrics_before, 'metrics_after', s.metrics_after,
           'timestamp', singularity.rfc3339(s.taken_at))
    from singularity.sample s
   where s.instance_id = unreported_samples.instance_id and s.message_id is null and s.problem is null
   order by s.sample_id limit unreported_samples.max
$$;

-- In the transaction that publishes the sample; false: somebody else did.
create function singularity.mark_reported(instance_id text, sample_id bigint, message_id bigint) returns boolean
language plpgsql as $$
begin
  update singularity.sample s set message_id = mark_reported.message_id
   where s.instance_id = mark_reported.instance_id and s.sample_id = mark_reported.sample_id and s.message_id is null;
  return found;
end $$;

create function singularity.mark_unreportable(instance_id text, sample_id bigint, problem text) returns void
language sql as $$
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
  select p.status into current from singularity.proposal p
   where p.instance_id = request_rollback.instance_id and p.proposal_id = request_rollback.proposal_id for update;
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
  select jsonb_build_object('rollback_id', r.rollback_id, 'proposal_id', r.proposal_id, 'reason', r.reason,
           'trigger', r.trigger, 'attempts', r.attempts, 'proposal', singularity.full_proposal(p))
    from singularity.rollback r join singularity.proposal p using (proposal_id)
   where r.instance_id = next_rollback.instance_id and r.finished_at is null and r.next_attempt_at <= clock_timestamp()
   order by r.requested_at, r.rollback_id limit 1
$$;

-- A change that was approved and not begun is begun here, so that its rollback is a step like any other. False: there is
-- nothing to take back, since the execution failed meanwhile and did so itself; the rollback is completed.
create function singularity.begin_rollback(instance_id text, rollback_id text) returns boolean language plpgsql as $$
declare
  r singularity.rollback;
  current text;
begin
  update singularity.rollback b
     set state = 'running', attempts = b.attempts + 1, started_at = coalesce(b.started_at, clock_timestamp())
   where b.instance_id = begin_rollback.instance_id and b.rollback_id = begin_rollback.rollback_id
     and b.finished_at is null returning * into r;
  if not found then return false; end if;
  select p.status into current from singularity.proposal p where p.proposal_id = r.proposal_id for update;
  if current = 'consensus_reached' then
    perform singularity.must_step(instance_id, r.proposal_id, 'executing', 'cancelled by rollback ' || r.rollback_id);
  elsif current not in ('executing', 'applied') then
    update singularity.rollback b
       set state = 'completed', finished_at = clock_timestamp(), steps = jsonb_build_array(jsonb_build_object(
             'name', 'undo', 'outcome', 'done', 'detail', 'the execution had ended as ' || current))
     where b.rollback_id = r.rollback_id;
    return false;
  end if;
  return true;
end $$;

create function singularity.postpone_rollback(instance_id text, rollback_id text, delay_ms bigint, steps jsonb)
returns void language sql as $$
  update singularity.rollback r
     set next_attempt_at = clock_timestamp() + delay_ms * interval '1 millisecond', steps = postpone_rollback.steps
   where r.instance_id = postpone_rollback.instance_id and r.rollback_id = postpone_rollback.rollback_id
$$;

create function singularity.finish_rollback(instance_id text, rollback_id text, completed boolean, detail text,
                                            steps jsonb, metrics_after jsonb) returns void language plpgsql as $$
declare
  r singularity.rollback;
  new_state text := case when completed then 'rolled_back' else 'rollback_failed' end;
begin
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
  perform singularity.record_sample(instance_id, r.proposal_id, new_state, null, metrics_after, 'agent');
end $$;

-- ── Voting ─────────────────────────────────────────────────────────────────────────────────────────────────────────

-- Keeps a voting_request. Answers waiting, answered (before), or late (its deadline has passed).
create function singularity.open_vote(instance_id text, request jsonb, deadline timestamptz) returns text
language plpgsql as $$
declare v singularity.vote_request;
begin
  insert into singularity.vote_request (instance_id, proposal_id, proposer, request, deadline)
    values (open_vote.instance_id, request ->> 'proposal_id', request ->> 'instance_id', open_vote.request,
            open_vote.deadline)
    on conflict on constraint vote_request_pkey do nothing;
  select * into v from singularity.vote_request w
   where w.instance_id = open_vote.instance_id and w.proposal_id = open_vote.request ->> 'proposal_id' for update;
  return case when v.answered_at is not null then 'answered' when v.deadline <= clock_timestamp() then 'late'
              else 'waiting' end;
end $$;

-- Writes the instance's one vote down. Answers cast (the caller publishes it in this transaction), same, other (it has
-- voted before), late, unknown.
create function singularity.answer_vote(instance_id text, proposal_id text, vote text, confidence numeric, reason text,
                                        answered_by text) returns text language plpgsql as $$
declare v singularity.vote_request;
begin
  select * into v from singularity.vote_request w
   where w.instance_id = answer_vote.instance_id and w.proposal_id = answer_vote.proposal_id for update;
  if not found then return 'unknown'; end if;
  if v.answered_at is not null then
    return case when v.vote = answer_vote.vote and v.confidence = answer_vote.confidence then 'same' else 'other' end;
  end if;
  if v.deadline <= clock_timestamp() then return 'late'; end if;
  update singularity.vote_request w
     set vote = answer_vote.vote, confidence = answer_vote.confidence, reason = answer_vote.reason,
         answered_by = answer_vote.answered_by, answered_at = clock_timestamp(), problem = null
   where w.instance_id = answer_vote.instance_id and w.proposal_id = answer_vote.proposal_id;
  return 'cast';
end $$;

create function singularity.mark_vote_cast(instance_id text, proposal_id text, message_id bigint) returns void
language sql as $$
  update singularity.vote_request v set message_id = mark_vote_cast.message_id
   where v.instance_id = mark_vote_cast.instance_id and v.proposal_id = mark_vote_cast.proposal_id
$$;

create function singularity.waiting_votes(instance_id text, max int) returns setof jsonb language sql stable as $$
  select v.request || jsonb_strip_nulls(jsonb_build_object('received_at', singularity.rfc3339(v.received_at),
                                                           'problem', v.problem))
    from singularity.vote_request v
   where v.instance_id = waiting_votes.instance_id and v.answered_at is null and v.deadline > clock_timestamp()
   order by v.deadline, v.proposal_id limit waiting_votes.max
$$;

-- The request that the voter's command answers next; one that failed `max_attempts` times waits for a person.
create function singularity.next_vote(instance_id text, max_attempts int) returns jsonb language sql stable as $$
  select v.request || jsonb_build_object('remaining_ms', floor(extract(epoch from v.deadline - clock_timestamp()) * 1000))
    from singularity.vote_request v
   where v.instance_id = next_vote.instance_id and v.answered_at is null and v.deadline > clock_timestamp()
     and v.attempts < next_vote.max_attempts
   order by v.attempts, v.deadline, v.proposal_id limit 1
$$;

create function singularity.fail_vote(instance_id text, proposal_id text, problem text) returns void language sql as $$
  update singularity.vote_request v set attempts = v.attempts + 1, problem = left(fail_vote.problem, 2000)
   where v.instance_id = fail_vote.instance_id and v.proposal_id = fail_vote.proposal_id and v.answered_at is null
$$;

-- ── Profiles and patterns ──────────────────────────────────────────────────────────────────────────────────────────

-- False: a newer profile of the type is there already.
create function singularity.put_safety_profile(instance_id text, agent_type text, profile jsonb, source text,
                                               sent_at timestamptz) returns boolean language plpgsql as $$
begin
  insert into singularity.safety_profile as s (instance_id, agent_type, profile, source, sent_at)
    values (put_safety_profile.instance_id, put_safety_profile.agent_type, put_safety_profile.profile,
            put_safety_profile.source, put_safety_profile.sent_at)
    on conflict on constraint safety_profile_pkey do update
       set profile = excluded.profile, source = excluded.source, sent_at = excluded.sent_at, received_at = clock_timestamp()
     where s.sent_at <= excluded.sent_at;
  return found;
end $$;

-- `agent_type` null: all of them.
create function singularity.safety_profiles(instance_id text, agent_type text) returns setof jsonb language sql stable as $$
  select jsonb_build_object('agent_type', s.agent_type, 'safety_profile', s.profile, 'source', s.source,
           'sent_at', singularity.rfc3339(s.sent_at), 'received_at', singularity.rfc3339(s.received_at))
    from singularity.safety_profile s
   where s.instance_id = safety_profiles.instance_id
     and (safety_profiles.agent_type is null or s.agent_type = safety_profiles.agent_type)
   order by s.agent_type limit 10000
$$;

create function singularity.put_pattern(instance_id text, pattern jsonb, sent_at timestamptz) returns boolean
language plpgsql as $$
begin
  insert into singularity.pattern as k (instance_id, pattern_id, pattern_type, code_pattern, success_rate,
                                        consensus_score, source_instances, usage_count, sent_at)
    values (put_pattern.instance_id, pattern ->> 'pattern_id', pattern ->> 'pattern_type', pattern -> 'code_pattern',
            (pattern ->> 'success_rate')::numeric, (pattern ->> 'consensus_score')::numeric,
            pattern -> 'source_instances', (pattern ->> 'usage_count')::bigint, put_pattern.sent_at)
    on conflict on constraint pattern_pkey do update
       set pattern_type = excluded.pattern_type, code_pattern = excluded.code_pattern,
           success_rate = excluded.success_rate, consensus_score = excluded.consensus_score,
           source_instances = excluded.source_instances, usage_count = excluded.usage_count,
           sent_at = excluded.sent_at, received_at = clock_timestamp()
     where k.sent_at <= excluded.sent_at;
  return found;
end $$;

create function singularity.patterns(instance_id text, pattern_type text, min_success_rate numeric, max int)
returns setof jsonb language sql stable as $$
  select jsonb_build_object('pattern_id', k.pattern_id, 'pattern_type', k.pattern_type, 'code_pattern', k.code_pattern,
           'success_rate', k.success_rate, 'consensus_score', k.consensus_score,
           'source_instances', k.source_instances, 'usage_count', k.usage_count)
    from singularity.pattern k
   where k.instance_id = patterns.instance_id and k.pattern_type = patterns.pattern_type
     and k.success_rate >= patterns.min_success_rate
   order by k.success_rate desc, k.pattern_id limit patterns.max
$$;

-- ── Reading ────────────────────────────────────────────────────────────────────────────────────────────────────────

-- Newest first. `after`: the proposal_id of the last one of the page before. Nulls: no restriction.
create function singularity.list_proposals(instance_id text, status text, max int, after text) returns setof jsonb
language sql stable as $$
  select singularity.summary(p) from singularity.proposal p
   where p.instance_id = list_proposals.instance_id
     and (list_proposals.status is null or p.status = list_proposals.status)
     and (list_proposals.after is null or (p.submitted_at, p.proposal_id) <
          (select a.submitted_at, a.proposal_id from singularity.proposal a
            where a.proposal_id = list_proposals.after and a.instance_id = list_proposals.instance_id))
   order by p.submitted_at desc, p.proposal_id desc limit list_proposals.max
$$;

-- One proposal with its decision, history, journal, latest samples and rollback; null for an unknown one.
create function singularity.story(instance_id text, proposal_id text) returns jsonb language sql stable as $$
  select singularity.full_proposal(p) || jsonb_build_object(
    'decision', p.decision, 'votes', coalesce(p.decision -> 'vote_details', '[]'),
    'history', (select coalesce(jsonb_agg(jsonb_build_object('from', s.from_state, 'to', s.to_state, 'cause', s.cause,
                                 'at', singularity.rfc3339(s.at)) order by s.step_id), '[]')
                  from singularity.proposal_step s where s.proposal_id = p.proposal_id),
    'execution', (select coalesce(jsonb_agg(jsonb_build_object('step', j.step, 'attempts', j.attempts,
                                   'outcome', j.outcome, 'detail', j.detail, 'started_at', singularity.rfc3339(j.started_at),
                                   'finished_at', singularity.rfc3339(j.finished_at)) order by j.started_at), '[]')
                    from singularity.execution_step j where j.proposal_id = p.proposal_id),
    'samples', (select coalesce(jsonb_agg(jsonb_build_object('status', m.status, 'metrics_before', m.metrics_before,
                                 'metrics_after', m.metrics_after, 'source', m.source, 'taken_at', singularity.rfc3339(m.taken_at),
                                 'reported', m.message_id is not null) order by m.sample_id), '[]')
                  from (select * from singularity.sample t where t.proposal_id = p.proposal_id
                         order by t.sample_id desc limit 100) m),
    'rollback', (select jsonb_build_object('rollback_id', r.rollback_id, 'reason', r.reason, 'trigger', r.trigger,
                          'state', r.state, 'steps', r.steps, 'attempts', r.attempts,
                          'requested_at', singularity.rfc3339(r.requested_at), 'finished_at', singularity.rfc3339(r.finished_at))
                   from singularity.rollback r where r.proposal_id = p.proposal_id))
    from singularity.proposal p
   where p.instance_id = story.instance_id and p.proposal_id = story.proposal_id
$$;

-- Steps committed since the snapshot `since` (null: from now on), and the snapshot to go on from. A transaction that
-- commits late is not visible in the earlier snapshot, so no step is passed over.
create function singularity.steps_since(instance_id text, since pg_snapshot)
returns table (next_since text, steps jsonb) language sql stable as $$
  select pg_current_snapshot()::text, coalesce((
    select jsonb_agg(jsonb_build_object('proposal_id', s.proposal_id, 'from', s.from_state, 'to', s.to_state,
                                        'cause', s.cause, 'at', singularity.rfc3339(s.at)) order by s.xid, s.step_id)
      from singularity.proposal_step s
     where since is not null and s.instance_id = steps_since.instance_id
       and s.xid >= pg_snapshot_xmin(since) and not pg_visible_in_snapshot(s.xid, since)), '[]')
$$;

create function singularity.depths(instance_id text)
returns table (status text, proposals bigint) language sql stable as $$
  select p.status, count(*) from singularity.proposal p where p.instance_id = depths.instance_id group by p.status
$$;
