-- CentralCloud: what the coordinators keep. People read the views (proposals, instances, patterns, rollbacks) and
-- proposal_story(); only the coordinators write, through the functions. Several coordinators work on it at once: whoever
-- changes a proposal or a change locks its row first, in the order proposal, change.
create schema if not exists centralcloud;
comment on schema centralcloud is 'The coordinators'' own: instances, proposals, votes, decisions, changes, samples, rollbacks, patterns, audit log.';

-- ── Tables ─────────────────────────────────────────────────────────────────────────────────────────────────────────

-- Refreshed by each instance every few seconds: no index but the key, and room on the page, so that updates stay on it.
create table centralcloud.instance (
  instance_id   text primary key check (length(instance_id) between 1 and 200),
  version       text not null check (length(version) <= 200),
  roles         text[] not null check (cardinality(roles) <= 20),
  registered_at timestamptz not null default clock_timestamp(),
  last_seen_at  timestamptz not null default clock_timestamp()) with (fillfactor = 50);

-- What the coordinator holds of an agent type; it wins, field by field, over what a proposal brings along.
create table centralcloud.safety_profile (
  agent_type  text not null check (length(agent_type) between 1 and 200),
  instance_id text not null default '' check (length(instance_id) <= 200),  -- '': for every instance
  profile     jsonb not null check (jsonb_typeof(profile) = 'object'),
  source      text not null,
  updated_at  timestamptz not null default clock_timestamp(),
  primary key (agent_type, instance_id));

create table centralcloud.proposal (
  proposal_id text primary key check (length(proposal_id) between 1 and 200),
  instance_id text not null,                     -- who proposed
  agent_type  text not null,
  change_type text,                              -- metadata.change_type
  body        jsonb not null check (jsonb_typeof(body) = 'object'),  -- the message as it came, known fields only
  state       text not null default 'voting' check (state in ('voting', 'approved', 'rejected')),
  received_at timestamptz not null default clock_timestamp(),
  deadline    timestamptz,                       -- of the vote; null: no vote was opened
  decided_at  timestamptz,
  check ((state = 'voting') = (decided_at is null)));
create index on centralcloud.proposal (deadline) where state = 'voting';  -- the deadline worker
create index on centralcloud.proposal (received_at desc);                 -- lists, newest first

-- Who may vote: fixed when the vote opens.
create table centralcloud.electorate (
  proposal_id text not null references centralcloud.proposal,
  instance_id text not null,
  primary key (proposal_id, instance_id));

create table centralcloud.vote (
  proposal_id  text not null references centralcloud.proposal,
  instance_id  text not null,
  vote         text not null check (vote in ('approve', 'reject')),
  confidence   numeric(7, 6) not null check (confidence between 0 and 1),
  reason       text not null,
  voted_at     timestamptz not null,
  received_at  timestamptz not null default clock_timestamp(),
  counted      boolean not null,
  not_counted  text check (not_counted in ('not_in_electorate', 'after_decision')),
  primary key (proposal_id, instance_id),
  check (counted = (not_counted is null)));

-- The primary key is the promise: one decision a proposal, ever.
create table centralcloud.decision (
  proposal_id  text primary key references centralcloud.proposal,
  status       text not null check (status in ('approved', 'rejected')),
  rule         text not null check (rule in ('consensus', 'majority_reject', 'strong_rejection', 'no_consensus', 'timeout',
                                             'auto_approved', 'not_required')),
  rationale    text not null,
  confidence   numeric(7, 6) not null check (confidence between 0 and 1),
  vote_details jsonb not null,                   -- the votes that were counted
  decided_at   timestamptz not null default clock_timestamp());

-- A change that is being carried out, or was.
--   executing ─▶ watching ─▶ confirmed
--       │            │           │ (an operator only)
--       ├────────────┴───────────┴─▶ rollback_triggered ─▶ rolled_back | rollback_failed
--       └─▶ failed, rolled_back, rollback_failed (as the instance reports them)
create table centralcloud.change (
  proposal_id     text primary key references centralcloud.proposal,
  instance_id     text not null,                 -- who applies it
  agent_type      text not null,
  change_type     text,
  state           text not null check (state in ('executing', 'watching', 'confirmed', 'rollback_triggered', 'rolled_back',
                                                 'rollback_failed', 'failed')),
  profile         jsonb not null,                -- the safety profile in force when it began
  baseline        jsonb not null default '{}',   -- metrics before the change
  runs            jsonb not null default '{}',   -- breaches in a row, by rule
  started_at      timestamptz not null default clock_timestamp(),
  watch_until     timestamptz,
  last_sample_at  timestamptz not null default clock_timestamp(),
  missing_alerted boolean not null default false,  -- silence was reported; the next sample clears it
  measured        jsonb,                         -- once confirmed: {metric: {low, high, rise}} over its samples
  ended_at        timestamptz,
  check (state <> 'watching' or watch_until is not null));
create index on centralcloud.change (watch_until) where state = 'watching';                      -- the window worker
create index on centralcloud.change (agent_type, ended_at desc) where state = 'confirmed';       -- learning, similarity

create table centralcloud.sample (
  sample_id      bigint generated always as identity primary key,
  proposal_id    text not null references centralcloud.change,
  instance_id    text not null,
  status         text not null check (status in ('executing', 'applied', 'monitoring', 'failed', 'rolled_back', 'rollback_failed')),
  metrics_before jsonb not null,
  metrics_after  jsonb not null,
  breaches       jsonb not null default '[]',
  reported_at    timestamptz not null,
  received_at    timestamptz not null default clock_timestamp());
-- The same report published twice is one sample; it also finds a proposal's samples in their order.
create unique index on centralcloud.sample (proposal_id, reported_at, status, md5(metrics_before::text || metrics_after::text));

create table centralcloud.rollback (
  rollback_id  text primary key,
  proposal_id  text not null unique references centralcloud.change,  -- at most one a change
  instance_id  text not null,
  change_type  text,
  reason       text not null,
  threshold    jsonb not null,
  strategy     jsonb not null,
  actor        text not null,
  note         text,
  triggered_at timestamptz not null default clock_timestamp(),
  outcome      text not null default 'pending' check (outcome in ('pending', 'rolled_back', 'rollback_failed', 'not_needed')),
  ended_at     timestamptz,
  check ((outcome = 'pending') = (ended_at is null)));
create index on centralcloud.rollback (change_type);  -- how rollbacks of a type went

create table centralcloud.pattern (
  pattern_id     text primary key,
  pattern_type   text not null,
  code_pattern   jsonb not null,                 -- of the first report
  code           text not null,                  -- what is compared
  state          text not null default 'observed' check (state in ('observed', 'confirmed', 'promoted')),
  consensus_score numeric(7, 6),
  first_seen_at  timestamptz not null default clock_timestamp(),
  last_seen_at   timestamptz not null default clock_timestamp(),
  confirmed_at   timestamptz,
  promoted_at    timestamptz);
create index on centralcloud.pattern (pattern_type, last_seen_at desc);  -- candidates for a merge

-- Every normal form that was found to be this pattern, so that the next such report needs no comparison.
create table centralcloud.pattern_form (
  fingerprint text primary key,
  pattern_id  text not null references centralcloud.pattern);

-- The latest word of each instance: a chatty one weighs as much as a quiet one.
create table centralcloud.pattern_source (
  pattern_id   text not null references centralcloud.pattern,
  instance_id  text not null,
  agent_type   text not null,
  success_rate numeric(7, 6) not null check (success_rate between 0 and 1),
  usage_count  bigint not null check (usage_count >= 0),  -- the highest it reported
  reports      bigint not null default 1,
  reported_at  timestamptz not null,
  primary key (pattern_id, instance_id));

create table centralcloud.step (
  step_id     bigint generated always as identity primary key,
  proposal_id text not null references centralcloud.proposal,
  at          timestamptz not null default clock_timestamp(),
  state       text not null,
  cause       text not null,
  actor       text not null);
create index on centralcloud.step (proposal_id);

create table centralcloud.audit_log (
  audit_id    bigint generated always as identity primary key,
  at          timestamptz not null default clock_timestamp(),
  actor       text not null,
  action      text not null,
  proposal_id text,
  detail      jsonb not null default '{}');
create index on centralcloud.audit_log (proposal_id) where proposal_id is not null;

create function centralcloud.refuse_rewriting() returns trigger language plpgsql as $$
begin
  raise exception '%: entries are only ever added', tg_table_name using errcode = 'insufficient_privilege';
end $$;
create trigger append_only before update or delete or truncate on centralcloud.audit_log
  for each statement execute function centralcloud.refuse_rewriting();
create trigger append_only before update or delete or truncate on centralcloud.step
  for each statement execute function centralcloud.refuse_rewriting();
create trigger once_only before update or delete or truncate on centralcloud.decision
  for each statement execute function centralcloud.refuse_rewriting();

-- ── Helpers ────────────────────────────────────────────────────────────────────────────────────────────────────────

create function centralcloud.add_step(proposal_id text, state text, cause text, actor text) returns void language sql as $$
  insert into centralcloud.step (proposal_id, state, cause, actor)
  values (add_step.proposal_id, add_step.state, left(add_step.cause, 2000), add_step.actor)
$$;

create function centralcloud.audit(actor text, action text, proposal_id text, detail jsonb) returns void language sql as $$
  insert into centralcloud.audit_log (actor, action, proposal_id, detail)
  values (audit.actor, audit.action, audit.proposal_id, coalesce(audit.detail, '{}'))
$$;

-- The profile in force: what a proposal brought, overridden by what is held of its agent type, then of its instance.
create function centralcloud.effective_profile(agent_type text, instance_id text, brought jsonb) returns jsonb
language sql stable as $$
  select coalesce(brought, '{}')
      || coalesce((select s.profile from centralcloud.safety_profile s
                    where s.agent_type = effective_profile.agent_type and s.instance_id = ''), '{}')
      || coalesce((select s.profile from centralcloud.safety_profile s
                    where s.agent_type = effective_profile.agent_type and s.instance_id = effective_profile.instance_id
                      and s.instance_id <> ''), '{}')
$$;

-- Is a message of the proposal, published before `until`, still waiting on the queue (in the log, in a retry, or in
-- somebody's hand)? What was said in time counts, even if all coordinators were down when the time ran out.
create function centralcloud.still_waiting(queue text, proposal_id text, until timestamptz) returns boolean
language sql stable as $$
  select exists (select from quantumflow.unread u
                  where u.queue_name = still_waiting.queue and u.enqueued_at <= still_waiting.until
                    and u.body::jsonb ->> 'proposal_id' = still_waiting.proposal_id)
      or exists (select from quantumflow.retry t join quantumflow.reader r using (cursor_id)
                  where r.queue_name = still_waiting.queue and t.ordering_key = still_waiting.proposal_id
                    and t.enqueued_at <= still_waiting.until and t.taken_by is null)
$$;

-- ── Instances and profiles ─────────────────────────────────────────────────────────────────────────────────────────

create function centralcloud.heartbeat(instance_id text, version text, roles text[]) returns void language plpgsql as $$
#variable_conflict use_column
begin
  if coalesce(length(heartbeat.instance_id), 0) not between 1 and 200 then
    raise exception 'instance_id: expected 1 to 200 characters' using errcode = 'invalid_parameter_value';
  end if;
  insert into centralcloud.instance as i (instance_id, version, roles)
  values (heartbeat.instance_id, coalesce(heartbeat.version, ''), coalesce(heartbeat.roles, '{}'))
  on conflict (instance_id) do update
     set version = excluded.version, roles = excluded.roles, last_seen_at = clock_timestamp();
end $$;
comment on function centralcloud.heartbeat is
  'Registers an instance or says that it is alive. roles: what it takes part in; "voter" makes it part of electorates.';

-- instance_id: '' for every instance.
create function centralcloud.set_safety_profile(agent_type text, instance_id text, profile jsonb, source text, actor text)
returns void language plpgsql as $$
#variable_conflict use_column
begin
  insert into centralcloud.safety_profile (agent_type, instance_id, profile, source)
  values (set_safety_profile.agent_type, set_safety_profile.instance_id, set_safety_profile.profile, set_safety_profile.source)
  on conflict (agent_type, instance_id) do update
     set profile = excluded.profile, source = excluded.source, updated_at = clock_timestamp();
  perform centralcloud.audit(set_safety_profile.actor, 'safety_profile_update', null,
    jsonb_build_object('agent_type', set_safety_profile.agent_type, 'instance_id', nullif(set_safety_profile.instance_id, ''),
                       'profile', set_safety_profile.profile, 'source', set_safety_profile.source));
end $$;

-- The profile held of an agent type for every instance, or null.
create function centralcloud.get_safety_profile(agent_type text) returns jsonb language sql stable as $$
  select s.profile from centralcloud.safety_profile s where s.agent_type = get_safety_profile.agent_type and s.instance_id = ''
$$;

-- ── Consensus ──────────────────────────────────────────────────────────────────────────────────────────────────────

-- Records a proposal. disposition: new | same (the same content again) | conflict (the id has other content).
create function centralcloud.receive_proposal(body jsonb, out disposition text, out profile jsonb) language plpgsql as $$
#variable_conflict use_column
declare
  id text := body ->> 'proposal_id';
  known jsonb;
  -- A replay after a lost reply may differ in these, and in nothing else.
  volatile_keys constant text[] := '{timestamp,priority_score,schema_version}';
begin
  insert into centralcloud.proposal (proposal_id, instance_id, agent_type, change_type, body)
  values (id, receive_proposal.body ->> 'instance_id', receive_proposal.body ->> 'agent_type',
          receive_proposal.body #>> '{metadata,change_type}', receive_proposal.body)
  on conflict (proposal_id) do nothing;
  if found then
    disposition := 'new';
    profile := centralcloud.effective_profile(receive_proposal.body ->> 'agent_type', receive_proposal.body ->> 'instance_id',
                                              receive_proposal.body -> 'safety_profile');
    perform centralcloud.add_step(id, 'received', 'proposed by ' || (receive_proposal.body ->> 'instance_id'),
                                  receive_proposal.body ->> 'instance_id');
    return;
  end if;
  select p.body into known from centralcloud.proposal p where p.proposal_id = id;
  disposition := case when known - volatile_keys = receive_proposal.body - volatile_keys then 'same' else 'conflict' end;
  if disposition = 'conflict' then
    perform centralcloud.audit(receive_proposal.body ->> 'instance_id', 'proposal_conflict', id,
                               jsonb_build_object('refused', receive_proposal.body));
  end if;
end $$;

-- Opens the vote: fixes the electorate (registered, fresh, voters) and the deadline.
create function centralcloud.open_vote(proposal_id text, timeout_ms bigint, fresh_ms bigint, proposer_may_vote boolean,
                                       out deadline timestamptz, out electorate_size bigint) language plpgsql as $$
#variable_conflict use_column
begin
  update centralcloud.proposal p
     set deadline = clock_timestamp() + open_vote.timeout_ms * interval '1 millisecond'
   where p.proposal_id = open_vote.proposal_id and p.state = 'voting' and p.deadline is null
  returning p.deadline into open_vote.deadline;
  if open_vote.deadline is null then
    raise exception 'proposal_id: there is no vote to open for "%"', left(open_vote.proposal_id, 200)
      using errcode = 'no_data_found';
  end if;
  insert into centralcloud.electorate (proposal_id, instance_id)
  select open_vote.proposal_id, i.instance_id from centralcloud.instance i
   where 'voter' = any (i.roles) and i.last_seen_at > clock_timestamp() - open_vote.fresh_ms * interval '1 millisecond'
     and (open_vote.proposer_may_vote or i.instance_id <>
          (select p.instance_id from centralcloud.proposal p where p.proposal_id = open_vote.proposal_id));
  get diagnostics electorate_size = row_count;
  perform centralcloud.add_step(open_vote.proposal_id, 'voting', format('vote opened: %s voters, until %s', electorate_size,
    to_char(open_vote.deadline at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')), 'centralcloud');
end $$;

-- The counted votes in the order in which they came.
create function centralcloud.counted_votes(proposal_id text) returns jsonb language sql stable set timezone = 'UTC' as $$
  select coalesce(jsonb_agg(jsonb_build_object('instance_id', v.instance_id, 'vote', v.vote, 'confidence', trim_scale(v.confidence),
           'reason', v.reason,
           'voted_at', to_char(v.voted_at, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')) order by v.received_at, v.instance_id), '[]')
    from centralcloud.vote v where v.proposal_id = counted_votes.proposal_id and v.counted
$$;

-- Records a vote under the proposal's lock, which holds until the transaction ends: nobody else can decide meanwhile.
-- disposition: counted | not_in_electorate | after_decision | same (again) | different (a second one) | unknown_proposal.
create function centralcloud.record_vote(proposal_id text, instance_id text, vote text, confidence numeric, reason text,
                                         voted_at timestamptz, out disposition text, out electorate_size bigint,
                                         out votes jsonb) language plpgsql as $$
#variable_conflict use_column
declare
  p centralcloud.proposal;
  earlier centralcloud.vote;
begin
  select * into p from centralcloud.proposal t where t.proposal_id = record_vote.proposal_id for update;
  if not found then disposition := 'unknown_proposal'; return; end if;
  select * into earlier from centralcloud.vote v
   where v.proposal_id = record_vote.proposal_id and v.instance_id = record_vote.instance_id;
  if found then
    if (earlier.vote, earlier.confidence, earlier.reason)
         = (record_vote.vote, record_vote.confidence::numeric(7, 6), record_vote.reason) then
      disposition := 'same';
    else
      disposition := 'different';
      perform centralcloud.audit(record_vote.instance_id, 'second_vote_refused', record_vote.proposal_id,
        jsonb_build_object('recorded', jsonb_build_object('vote', earlier.vote, 'confidence', earlier.confidence),
          'refused', jsonb_build_object('vote', record_vote.vote, 'confidence', record_vote.confidence, 'reason', record_vote.reason)));
    end if;
    return;
  end if;
  disposition := case
    when not exists (select from centralcloud.electorate e
                      where e.proposal_id = record_vote.proposal_id and e.instance_id = record_vote.instance_id) then 'not_in_electorate'
    when p.state <> 'voting' then 'after_decision'
    else 'counted' end;
  insert into centralcloud.vote (proposal_id, instance_id, vote, confidence, reason, voted_at, counted, not_counted)
  values (record_vote.proposal_id, record_vote.instance_id, record_vote.vote, record_vote.confidence, record_vote.reason,
          record_vote.voted_at, disposition = 'counted', nullif(disposition, 'counted'));
  if disposition = 'counted' then
    select count(*) into electorate_size from centralcloud.electorate e where e.proposal_id = record_vote.proposal_id;
    votes := centralcloud.counted_votes(record_vote.proposal_id);
  else
    perform centralcloud.audit(record_vote.instance_id, 'vote_not_counted', record_vote.proposal_id,
                               jsonb_build_object('cause', disposition, 'vote', record_vote.vote));
  end if;
end $$;

-- Takes one vote whose time is up, and locks it. No row: none is due, or others have them in hand.
create function centralcloud.take_due_vote()
returns table (proposal_id text, instance_id text, electorate_size bigint, votes jsonb) language plpgsql as $$
#variable_conflict use_column
declare p centralcloud.proposal;
begin
  for p in select * from centralcloud.proposal t where t.state = 'voting' and t.deadline <= clock_timestamp()
            order by t.deadline limit 100 for update skip locked
  loop
    continue when centralcloud.still_waiting('votes_for_consensus_queue', p.proposal_id, p.deadline);
    return query select p.proposal_id, p.instance_id,
      (select count(*) from centralcloud.electorate e where e.proposal_id = p.proposal_id), centralcloud.counted_votes(p.proposal_id);
    return;
  end loop;
end $$;

-- Decides, once. Returns the counted votes and who proposed; no row where it is decided already.
create function centralcloud.decide(proposal_id text, status text, rule text, rationale text, confidence numeric, actor text)
returns table (instance_id text, votes jsonb) language plpgsql as $$
#variable_conflict use_column
declare
  proposer text;
  counted jsonb;
begin
  update centralcloud.proposal p set state = decide.status, decided_at = clock_timestamp()
   where p.proposal_id = decide.proposal_id and p.state = 'voting' returning p.instance_id into proposer;
  if not found then return; end if;
  counted := centralcloud.counted_votes(decide.proposal_id);
  insert into centralcloud.decision (proposal_id, status, rule, rationale, confidence, vote_details)
  values (decide.proposal_id, decide.status, decide.rule, decide.rationale, decide.confidence, counted);
  perform centralcloud.add_step(decide.proposal_id, decide.status, decide.rationale, decide.actor);
  perform centralcloud.audit(decide.actor, 'decision', decide.proposal_id,
    jsonb_build_object('status', decide.status, 'rule', decide.rule, 'confidence', decide.confidence, 'votes', counted));
  return query select proposer, counted;
end $$;

-- Changes of the same kind that were confirmed safe, newest first: for approval by similarity.
create function centralcloud.confirmed_code_changes(agent_type text, change_type text, max int)
returns table (code_change text, total bigint) language sql stable as $$
  select (p.body -> 'code_change')::text, count(*) over ()
    from centralcloud.change c join centralcloud.proposal p using (proposal_id)
   where c.state = 'confirmed' and c.agent_type = confirmed_code_changes.agent_type
     and c.change_type is not distinct from confirmed_code_changes.change_type
   order by c.ended_at desc limit confirmed_code_changes.max
$$;

-- ── Guardian ───────────────────────────────────────────────────────────────────────────────────────────────────────

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
create function centralcloud.record_sample(
  proposal_id text, instance_id text, status text, metrics_before jsonb, metrics_after jsonb, reported_at timestamptz,
  default_window_ms bigint, out disposition text, out sample_id bigint, out state text, out judge boolean, out runs jsonb,
  out profile jsonb, out baseline jsonb, out change_type text, out unapproved boolean) language plpgsql as $$
#variable_conflict use_column
declare
  p centralcloud.proposal;
  c centralcloud.change;
  target text;
  window_ms bigint;
begin
  select * into p from centralcloud.proposal t where t.proposal_id = record_sample.proposal_id;
  if not found then disposition := 'unknown_proposal'; return; end if;
  insert into centralcloud.change (proposal_id, instance_id, agent_type, change_type, state, profile)
  values (p.proposal_id, record_sample.instance_id, p.agent_type, p.change_type, 'executing',
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
  select * into c from centralcloud.change t where t.proposal_id = record_sample.proposal_id for update;
  if c.instance_id <> record_sample.instance_id then disposition := 'other_instance'; return; end if;
  insert into centralcloud.sample (proposal_id, instance_id, status, metrics_before, metrics_after, reported_at)
  values (p.proposal_id, record_sample.instance_id, record_sample.status, record_sample.metrics_before,
          record_sample.metrics_after, record_sample.reported_at)
  on conflict do nothing returning sample.sample_id into record_sample.sample_id;
  if record_sample.sample_id is null then disposition := 'duplicate'; return; end if;
  disposition := 'recorded';
  target := centralcloud.next_change_state(c.state, record_sample.status);
  window_ms := coalesce((c.profile ->> 'observation_window_seconds')::numeric * 1000, default_window_ms)::bigint;
  update centralcloud.change t
     set last_sample_at = clock_timestamp(), missing_alerted = false,
         baseline = record_sample.metrics_before || t.baseline,  -- the first word about a metric stays
         watch_until = case when target = 'watching' and c.state <> 'watching'
                            then clock_timestamp() + window_ms * interval '1 millisecond' else t.watch_until end
   where t.proposal_id = p.proposal_id returning t.baseline into record_sample.baseline;
  if target <> c.state then
    perform centralcloud.step_change(c, target, 'reported ' || record_sample.status, record_sample.instance_id);
  end if;
  state := target;
  judge := target in ('executing', 'watching');
  runs := c.runs;
  profile := c.profile;
  change_type := c.change_type;
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
  select c.state, c.change_type from centralcloud.change c where c.proposal_id = change_to_roll_back.proposal_id for update
$$;

-- Begins the one rollback of a change. Returns the instance that applied it; null where there was a rollback already or
-- the change is over.
create function centralcloud.start_rollback(proposal_id text, rollback_id text, reason text, threshold jsonb, strategy jsonb,
                                            actor text, note text) returns text language plpgsql as $$
#variable_conflict use_column
declare c centralcloud.change;
begin
  select * into c from centralcloud.change t where t.proposal_id = start_rollback.proposal_id for update;
  if not found or c.state not in ('executing', 'watching', 'confirmed') then return null; end if;
  insert into centralcloud.rollback (rollback_id, proposal_id, instance_id, change_type, reason, threshold, strategy, actor, note)
  values (start_rollback.rollback_id, c.proposal_id, c.instance_id, c.change_type, start_rollback.reason,
          start_rollback.threshold, start_rollback.strategy, start_rollback.actor, start_rollback.note)
  on conflict (proposal_id) do nothing;
  if not found then return null; end if;
  perform centralcloud.step_change(c, 'rollback_triggered',
    start_rollback.reason || coalesce(': ' || start_rollback.note, ''), start_rollback.actor);
  perform centralcloud.audit(start_rollback.actor, 'rollback_trigger', c.proposal_id,
    jsonb_build_object('rollback_id', start_rollback.rollback_id, 'reason', start_rollback.reason,
                       'threshold', start_rollback.threshold, 'note', start_rollback.note));
  return c.instance_id;
end $$;

-- Confirms one change whose window has ended without a rollback. No row: none is due, or others have them in hand.
create function centralcloud.confirm_due_change()
returns table (proposal_id text, instance_id text, agent_type text, profile jsonb) language plpgsql as $$
#variable_conflict use_column
declare c centralcloud.change;
begin
  for c in select * from centralcloud.change t where t.state = 'watching' and t.watch_until <= clock_timestamp()
            order by t.watch_until limit 100 for update skip locked
  loop
    continue when centralcloud.still_waiting('metrics_to_guardian_queue', c.proposal_id, c.watch_until);
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

-- One watched change that has been silent for `silence_ms`, told once a silence; locked.
create function centralcloud.take_silent_change(silence_ms bigint)
returns table (proposal_id text, instance_id text, change_type text, auto_rollback boolean, silent_ms bigint)
language plpgsql as $$
#variable_conflict use_column
declare c centralcloud.change;
begin
  for c in select * from centralcloud.change t
            where t.state = 'watching' and not t.missing_alerted and t.watch_until > clock_timestamp()
              and t.last_sample_at <= clock_timestamp() - take_silent_change.silence_ms * interval '1 millisecond'
            order by t.last_sample_at limit 100 for update skip locked
  loop
    continue when centralcloud.still_waiting('metrics_to_guardian_queue', c.proposal_id, clock_timestamp());
    update centralcloud.change t set missing_alerted = true where t.proposal_id = c.proposal_id;
    perform centralcloud.audit('centralcloud', 'metrics_missing', c.proposal_id,
                               jsonb_build_object('last_sample_at', c.last_sample_at));
    return query select c.proposal_id, c.instance_id, c.change_type, coalesce((c.profile ->> 'auto_rollback')::boolean, true),
      (extract(epoch from clock_timestamp() - c.last_sample_at) * 1000)::bigint;
    return;
  end loop;
end $$;

-- An alert of the Guardian, for the record.
create function centralcloud.record_alert(proposal_id text, kind text, detail jsonb) returns void language sql as $$
  select centralcloud.audit('centralcloud', 'alert:' || record_alert.kind, record_alert.proposal_id, record_alert.detail)
$$;

-- What confirmed changes of an agent type measured, newest first: {metric: {low, high, rise}} each.
create function centralcloud.confirmed_measures(agent_type text, max int) returns setof jsonb language sql stable as $$
  select c.measured from centralcloud.change c
   where c.state = 'confirmed' and c.agent_type = confirmed_measures.agent_type and c.measured is not null
   order by c.ended_at desc limit confirmed_measures.max
$$;

-- Milliseconds until timed work is due (0: now); null where there is none.
create function centralcloud.next_due_ms(silence_ms bigint) returns bigint language sql stable as $$
  select greatest(0, ceil(extract(epoch from min(at) - clock_timestamp()) * 1000))::bigint from (
    select min(p.deadline) as at from centralcloud.proposal p where p.state = 'voting'
    union all
    select min(c.watch_until) from centralcloud.change c where c.state = 'watching'
    union all
    select min(c.last_sample_at + next_due_ms.silence_ms * interval '1 millisecond')
      from centralcloud.change c where c.state = 'watching' and not c.missing_alerted) due
  having min(at) is not null  -- greatest() ignores null: "nothing" would read as "now"
$$;

-- ── Patterns ───────────────────────────────────────────────────────────────────────────────────────────────────────

create function centralcloud.find_pattern(fingerprint text) returns text language sql stable as $$
  select f.pattern_id from centralcloud.pattern_form f where f.fingerprint = find_pattern.fingerprint
$$;

create function centralcloud.pattern_candidates(pattern_type text, max int)
returns table (pattern_id text, code text) language sql stable as $$
  select p.pattern_id, p.code from centralcloud.pattern p where p.pattern_type = pattern_candidates.pattern_type
   order by p.last_seen_at desc limit pattern_candidates.max
$$;

-- Records one report of a pattern and returns what all reports come to. A report that is not newer than the last one of
-- its instance changes nothing.
create function centralcloud.record_pattern(
  pattern_id text, fingerprint text, pattern_type text, code_pattern jsonb, code text, instance_id text, agent_type text,
  success_rate numeric, usage_count bigint, reported_at timestamptz,
  out state text, out distinct_instances bigint, out success_rate_sum numeric, out total_usage bigint, out sources jsonb,
  out live_instances bigint, out first_code_pattern jsonb) language plpgsql as $$
#variable_conflict use_column
begin
  insert into centralcloud.pattern (pattern_id, pattern_type, code_pattern, code)
  values (record_pattern.pattern_id, record_pattern.pattern_type, record_pattern.code_pattern, record_pattern.code)
  on conflict (pattern_id) do nothing;
  insert into centralcloud.pattern_form (fingerprint, pattern_id) values (record_pattern.fingerprint, record_pattern.pattern_id)
  on conflict (fingerprint) do nothing;
  insert into centralcloud.pattern_source as s (pattern_id, instance_id, agent_type, success_rate, usage_count, reported_at)
  values (record_pattern.pattern_id, record_pattern.instance_id, record_pattern.agent_type, record_pattern.success_rate,
          coalesce(record_pattern.usage_count, 0), record_pattern.reported_at)
  on conflict (pattern_id, instance_id) do update
     set agent_type = excluded.agent_type, success_rate = excluded.success_rate, reports = s.reports + 1,
         usage_count = greatest(s.usage_count, excluded.usage_count), reported_at = excluded.reported_at
   where excluded.reported_at > s.reported_at;
  update centralcloud.pattern p set last_seen_at = clock_timestamp() where p.pattern_id = record_pattern.pattern_id
  returning p.state, p.code_pattern into record_pattern.state, record_pattern.first_code_pattern;
  select count(*), sum(s.success_rate), sum(greatest(s.usage_count, s.reports)), jsonb_agg(s.instance_id order by s.instance_id)
    into distinct_instances, success_rate_sum, total_usage, sources
    from centralcloud.pattern_source s where s.pattern_id = record_pattern.pattern_id;
  select count(*) into live_instances from centralcloud.instance i
   where i.last_seen_at > clock_timestamp() - interval '1 minute';
end $$;

-- Carries a pattern on to `to_state`; false where it is there already.
create function centralcloud.step_pattern(pattern_id text, to_state text, consensus_score numeric) returns boolean
language plpgsql as $$
#variable_conflict use_column
begin
  update centralcloud.pattern p
     set state = to_state, consensus_score = coalesce(step_pattern.consensus_score, p.consensus_score),
         confirmed_at = coalesce(p.confirmed_at, clock_timestamp()),
         promoted_at = case when to_state = 'promoted' then clock_timestamp() end
   where p.pattern_id = step_pattern.pattern_id
     and ((to_state = 'confirmed' and p.state = 'observed') or (to_state = 'promoted' and p.state = 'confirmed'));
  if not found then return false; end if;
  perform centralcloud.audit('centralcloud', 'pattern_' || to_state, null,
    jsonb_build_object('pattern_id', step_pattern.pattern_id, 'consensus_score', step_pattern.consensus_score));
  return true;
end $$;

-- ── For people ─────────────────────────────────────────────────────────────────────────────────────────────────────

create view centralcloud.proposals as
  select p.proposal_id, p.instance_id, p.agent_type, p.change_type,
         coalesce(c.state, p.state) as status, p.state as vote_state, c.state as change_state, d.rule, d.confidence,
         (select count(*) from centralcloud.vote v where v.proposal_id = p.proposal_id and v.counted) as votes,
         (select count(*) from centralcloud.electorate e where e.proposal_id = p.proposal_id) as electorate,
         (p.body ->> 'impact_score')::numeric as impact_score, (p.body ->> 'risk_score')::numeric as risk_score,
         p.body #>> '{metadata,description}' as description, p.received_at, p.deadline, p.decided_at, c.watch_until,
         r.reason as rollback_reason, r.outcome as rollback_outcome
    from centralcloud.proposal p
    left join centralcloud.decision d using (proposal_id)
    left join centralcloud.change c using (proposal_id)
    left join centralcloud.rollback r using (proposal_id);
comment on view centralcloud.proposals is 'Every proposal with where it stands: the vote, the change, the rollback.';

create view centralcloud.instances as
  select i.instance_id, i.version, i.roles, i.registered_at, i.last_seen_at,
         round(extract(epoch from clock_timestamp() - i.last_seen_at), 3) as seen_seconds_ago
    from centralcloud.instance i;
comment on view centralcloud.instances is 'The instances that have registered, and when each was last heard of.';

create view centralcloud.patterns as
  select p.pattern_id, p.pattern_type, p.state, p.code_pattern ->> 'description' as description, p.consensus_score,
         s.instances, s.success_rate, s.usage_count, s.source_instances, p.code_pattern, p.first_seen_at, p.last_seen_at,
         p.confirmed_at, p.promoted_at
    from centralcloud.pattern p
    left join lateral (
      select count(*) as instances, round(avg(t.success_rate), 6) as success_rate,
             sum(greatest(t.usage_count, t.reports)) as usage_count, array_agg(t.instance_id order by t.instance_id) as source_instances
        from centralcloud.pattern_source t where t.pattern_id = p.pattern_id) s on true;
comment on view centralcloud.patterns is 'Reported patterns with what all their reports come to.';

create view centralcloud.safety_profiles as
  select s.agent_type, nullif(s.instance_id, '') as instance_id, s.profile, s.source, s.updated_at from centralcloud.safety_profile s;

create view centralcloud.audit_entries as
  select a.audit_id, a.at, a.actor, a.action, a.proposal_id, a.detail from centralcloud.audit_log a;

create function centralcloud.list_proposals(status text default null, max int default 100) returns setof jsonb
language sql stable set timezone = 'UTC' as $$
  select to_jsonb(v) from centralcloud.proposals v
   where list_proposals.status is null or v.status = list_proposals.status or v.vote_state = list_proposals.status
   order by v.received_at desc, v.proposal_id limit list_proposals.max
$$;

create function centralcloud.list_instances(fresh_ms bigint, max int default 1000) returns setof jsonb
language sql stable set timezone = 'UTC' as $$
  select to_jsonb(v) || jsonb_build_object('fresh', v.seen_seconds_ago * 1000 < list_instances.fresh_ms)
    from centralcloud.instances v order by v.instance_id limit list_instances.max
$$;

create function centralcloud.list_patterns(max int default 100) returns setof jsonb
language sql stable set timezone = 'UTC' as $$
  select to_jsonb(v) from centralcloud.patterns v order by v.last_seen_at desc, v.pattern_id limit list_patterns.max
$$;

create function centralcloud.proposal_story(proposal_id text) returns jsonb language sql stable set timezone = 'UTC' as $$
  select to_jsonb(v) || jsonb_build_object(
      'proposal', p.body,
      'voters', (select coalesce(jsonb_agg(e.instance_id order by e.instance_id), '[]') from centralcloud.electorate e
                  where e.proposal_id = p.proposal_id),
      'vote_list', (select coalesce(jsonb_agg(to_jsonb(t) - 'proposal_id' order by t.received_at, t.instance_id), '[]')
                      from centralcloud.vote t where t.proposal_id = p.proposal_id),
      'decision', (select to_jsonb(d) - 'proposal_id' from centralcloud.decision d where d.proposal_id = p.proposal_id),
      'change', (select to_jsonb(c) - 'proposal_id' from centralcloud.change c where c.proposal_id = p.proposal_id),
      'steps', (select coalesce(jsonb_agg(to_jsonb(s) - '{proposal_id,step_id}'::text[] order by s.step_id), '[]')
                  from centralcloud.step s where s.proposal_id = p.proposal_id),
      -- The last 1000 samples, oldest first.
      'samples', (select coalesce(jsonb_agg(to_jsonb(s) - 'proposal_id' order by s.sample_id), '[]') from (
                    select * from centralcloud.sample m where m.proposal_id = p.proposal_id
                     order by m.sample_id desc limit 1000) s),
      'rollback', (select to_jsonb(r) - 'proposal_id' from centralcloud.rollback r where r.proposal_id = p.proposal_id),
      'audit', (select coalesce(jsonb_agg(to_jsonb(a) - 'proposal_id' order by a.audit_id), '[]') from (
                  select * from centralcloud.audit_log l where l.proposal_id = p.proposal_id
                   order by l.audit_id desc limit 1000) a))
    from centralcloud.proposals v join centralcloud.proposal p using (proposal_id)
   where v.proposal_id = proposal_story.proposal_id
$$;
comment on function centralcloud.proposal_story is
  'The whole story of a proposal: votes, decision, steps, samples, rollback, audit entries. Null: there is no such proposal.';
