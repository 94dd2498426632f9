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
  traceparent    text,            -- the W3C trace context of the request that it came with
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
  told_at        timestamptz,     -- of the latest agent_metrics that went into one of its samples
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

-- The journal of a rollback: the steps that were run, by their place in the plan.
create table singularity.rollback_step (
  rollback_id text not null references singularity.rollback,
  instance_id text not null,
  place       int not null,
  name        text not null,
  attempts    int not null default 1,
  started_at  timestamptz not null default clock_timestamp(),
  finished_at timestamptz,
  outcome     text check (outcome in ('done', 'failed')),
  detail      text,
  duration_ms bigint,
  primary key (rollback_id, place),
  check ((finished_at is null) = (outcome is null)));

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
  told_traceparent text,           -- the W3C trace context of the request that an agent told some of these with
  taken_at       timestamptz not null default clock_timestamp(),
  message_id     bigint,
  problem        text);            -- why it can never be published
create index on singularity.sample (proposal_id, sample_id);  -- the story of one
create index on singularity.sample (instance_id, sample_id) where message_id is null and problem is null;  -- to report

-- A row for each proposal with samples, locked by who takes one.
create table singularity.sample_turn (proposal_id text primary key references singularity.proposal);

-- The latest metrics that agents of a type told; they go out with the next sample of each of that type's watched changes.
create table singularity.agent_metrics (
  instance_id text not null,
  agent_type  text not null check (length(agent_type) between 1 and 200),
  metrics     jsonb not null check (jsonb_typeof(metrics) = 'object'),
  traceparent text,
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
  values ('pending', 'sent_for_consensus'), ('pending', 'consensus_failed'), ('sent_for_consensus', 'consensus_reached'),
         ('sent_for_consensus', 'consensus_failed'), ('consensus_reached', 'executing'), ('executing', 'applied'),
         ('executing', 'failed'), ('executing', 'rolled_back'), ('executing', 'rollback_failed'),
         ('applied', 'rolled_back'), ('applied', 'rollback_failed')
$$;

-- Takes a step and writes it into the history. stepped = false: refused, from_state is where the proposal stands (null:
-- this instance has no such proposal). Locks are NO KEY UPDATE: rows that refer to the proposal, as samples do, need not wait.
create function singularity.step(instance_id text, proposal_id text, to_state text, cause text)
returns table (stepped boolean, from_state text) language plpgsql as $$
declare current text;
begin
  select p.status into current from singularity.proposal p
   where p.proposal_id = step.proposal_id and p.instance_id = step.instance_id for no key update;
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
      || jsonb_strip_nulls(jsonb_build_object('traceparent', p.traceparent, 'applied', p.applied, 'metrics_before', p.metrics_before,
                                              'metrics_after', p.metrics_after))
$$;
