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
  last_seen_at  timestamptz not null default clock_timestamp(),
  profiles_told boolean not null default false) with (fillfactor = 50);  -- it was sent the profiles that were held when it came

-- What the coordinator holds of an agent type; it wins, field by field, over what a proposal brings along.
create table centralcloud.safety_profile (
  agent_type  text not null check (length(agent_type) between 1 and 200),
  instance_id text not null default '' check (length(instance_id) <= 200),  -- '': for every instance
  profile     jsonb not null check (jsonb_typeof(profile) = 'object'),
  source      text not null,
  operators   text[] not null default '{}',      -- the fields that a person set last: learning leaves them as they are
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
  deadline    timestamptz,                       -- of the vote; null: not opened (yet)
  decided_at  timestamptz,
  check ((state = 'voting') = (decided_at is null)));
create index on centralcloud.proposal (deadline) where state = 'voting';  -- the deadline worker
create index on centralcloud.proposal (received_at) where state = 'voting' and deadline is null;  -- waiting for voters
create index on centralcloud.proposal (received_at desc, proposal_id desc);         -- lists, newest first
create index on centralcloud.proposal (state, received_at desc, proposal_id desc);  -- those of one state

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
  received_at     timestamptz not null,          -- the proposal's, so that lists of one state need no sorting
  started_at      timestamptz not null default clock_timestamp(),
  watch_until     timestamptz,
  last_sample_at  timestamptz not null default clock_timestamp(),
  missing_alerted boolean not null default false,  -- silence was reported; the next sample clears it
  measured        jsonb,                         -- once confirmed: {metric: {low, high, rise}} over its samples
  ended_at        timestamptz,
  check (state <> 'watching' or watch_until is not null));
create index on centralcloud.change (watch_until) where state = 'watching';                      -- the window worker
create index on centralcloud.change (agent_type, ended_at desc) where state = 'confirmed';       -- learning, similarity
create index on centralcloud.change (state, received_at desc, proposal_id desc);                 -- lists and counts by state

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
create index on centralcloud.rollback (triggered_at) where outcome = 'pending';  -- those that nothing was heard of yet

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

-- Who did what: decisions, steps, triggers, what operators did. Each entry holds the hash of the one before, and is written in
-- the transaction that it describes. One chain would let one transaction at a time be at it, until its commit; so there are many,
-- and a transaction extends the first one that nobody has in hand. Chain 0 holds the seals, each with the ends of all others.
-- sql/README.md says what that proves; `centralcloud_daemon audit verify` checks it.
create table centralcloud.audit_log (
  audit_id    bigint generated by default as identity primary key,
  chain       int not null,
  seq         bigint not null,                   -- in its chain, without gaps
  at          timestamptz not null,
  role        text not null,                     -- the database role that wrote it
  actor       text not null,                     -- in whose name
  action      text not null,
  proposal_id text,
  detail      jsonb not null,
  previous    bytea not null,                    -- hash of the entry before in its chain; empty: there is none
  hash        bytea not null,
  xid         xid8 not null,                     -- lets a follower read on without missing a late commit; not in the hash
  unique (chain, seq));
create index on centralcloud.audit_log (proposal_id) where proposal_id is not null;
create index on centralcloud.audit_log (xid, audit_id) where action = 'step';

-- Rows to be locked, no more. Advisory locks would do as well, but anybody may take those, and hold up every decision.
create table centralcloud.audit_chain (chain int primary key);
insert into centralcloud.audit_chain select generate_series(0, 256);

create function centralcloud.refuse_rewriting() returns trigger language plpgsql as $$
begin
  raise exception '%: entries are only ever added', tg_table_name using errcode = 'insufficient_privilege';
end $$;
create trigger append_only before update or delete or truncate on centralcloud.audit_log
  for each statement execute function centralcloud.refuse_rewriting();
alter table centralcloud.audit_log enable always trigger append_only;  -- whatever session_replication_role says
create trigger once_only before update or delete or truncate on centralcloud.decision
  for each statement execute function centralcloud.refuse_rewriting();

-- ── Helpers ────────────────────────────────────────────────────────────────────────────────────────────────────────

-- Everything but the hash itself. `audit verify` computes it by an expression of its own.
create function centralcloud.audit_hash(e centralcloud.audit_log) returns bytea language sql stable as $$
  select sha256(e.previous || convert_to(jsonb_build_array(e.audit_id, e.chain, e.seq,
    (extract(epoch from e.at) * 1000000)::bigint, e.role, e.actor, e.action, e.proposal_id, e.detail)::text, 'UTF8'))
$$;

-- Appends to a chain whose row the caller has locked; returns the entry's hash.
create function centralcloud.extend_chain(chain int, actor text, action text, proposal_id text, detail jsonb) returns bytea
language plpgsql as $$
declare e centralcloud.audit_log;
begin
  -- An older snapshot would not show the end of the chain.
  perform quantumflow.check_isolation('what is audited');
  select l.seq, l.hash into e.seq, e.previous from centralcloud.audit_log l
   where l.chain = extend_chain.chain order by l.seq desc limit 1;
  e := (nextval('centralcloud.audit_log_audit_id_seq'), chain, coalesce(e.seq, 0) + 1, clock_timestamp(), session_user,
        actor, action, proposal_id, coalesce(detail, '{}'), coalesce(e.previous, ''), null, pg_current_xact_id());
  e.hash := centralcloud.audit_hash(e);
  insert into centralcloud.audit_log select e.*;
  return e.hash;
end $$;

create function centralcloud.audit(actor text, action text, proposal_id text, detail jsonb) returns void language plpgsql as $$
declare free int;
begin
  select c.chain into free from centralcloud.audit_chain c where c.chain > 0
   order by c.chain limit 1 for no key update skip locked;
  if not found then  -- more transactions at once than there are chains: this one waits
    select c.chain into free from centralcloud.audit_chain c where c.chain = 1 + pg_backend_pid() % 256 for no key update;
  end if;
  perform centralcloud.extend_chain(free, actor, action, proposal_id, detail);
end $$;

-- Writes down where every chain ends, unless the last seal is younger than that or nothing was added. Returns the seal's hash, which
-- stands for all that is in the log so far; no row where it did nothing.
create function centralcloud.seal_audit(min_age interval) returns table (head text, entries bigint) language plpgsql as $$
declare
  last centralcloud.audit_log;
  ends jsonb;
begin
  perform from centralcloud.audit_chain c where c.chain = 0 for no key update skip locked;
  if not found then return; end if;  -- somebody else is at it
  select * into last from centralcloud.audit_log l where l.chain = 0 order by l.seq desc limit 1;
  if last.at > clock_timestamp() - min_age then return; end if;
  select jsonb_object_agg(e.chain, e.seq || ':' || encode(e.hash, 'hex')), sum(e.seq) into ends, entries
    from centralcloud.audit_chain c cross join lateral (
      select l.chain, l.seq, l.hash from centralcloud.audit_log l where l.chain = c.chain order by l.seq desc limit 1) e
   where c.chain > 0;
  if ends is null or ends = last.detail -> 'ends' then return; end if;
  head := encode(centralcloud.extend_chain(0, 'centralcloud', 'seal', null, jsonb_build_object('ends', ends)), 'hex');
  return next;
end $$;

-- A coordinator has taken over settings while it runs: [{key, before, after}].
create function centralcloud.audit_reload(coordinator text, changes jsonb) returns void language sql as $$
  select centralcloud.audit(audit_reload.coordinator, 'reload', null, jsonb_build_object('changes', audit_reload.changes))
$$;

create function centralcloud.add_step(proposal_id text, state text, cause text, actor text) returns void language sql as $$
  select centralcloud.audit(add_step.actor, 'step', add_step.proposal_id,
                            jsonb_build_object('state', add_step.state, 'cause', left(add_step.cause, 2000)))
$$;

create view centralcloud.step as
  select l.audit_id as step_id, l.xid, l.proposal_id, l.at, l.detail ->> 'state' as state, l.detail ->> 'cause' as cause, l.actor
    from centralcloud.audit_log l where l.action = 'step';

-- What an instance does with its own proposals, and what operators do to the queues, is written elsewhere and noted here.
create function centralcloud.audit_agent_step() returns trigger language plpgsql as $$
begin
  perform centralcloud.audit(new.instance_id, 'agent_step', new.proposal_id,
    jsonb_build_object('from', new.from_state, 'to', new.to_state, 'cause', new.cause));
  return null;
end $$;
create trigger audited after insert on singularity.proposal_step
  for each row execute function centralcloud.audit_agent_step();

create function centralcloud.audit_operator_action() returns trigger language plpgsql as $$
declare done record;
begin
  for done in select a.actor, a.action, r.queue_name, count(*) as messages, min(a.message_id) as first_id, max(a.message_id) as last_id,
                     encode(sha256(convert_to(string_agg(a.message_id || ':' || coalesce(a.body, ''), E'\n' order by a.id), 'UTF8')), 'hex') as digest
                from added a join quantumflow.reader r using (cursor_id) group by 1, 2, 3 order by 1, 2, 3
  loop
    perform centralcloud.audit(done.actor, 'dlq_' || done.action, null,
      jsonb_build_object('queue', done.queue_name, 'messages', done.messages, 'first_message_id', done.first_id,
                         'last_message_id', done.last_id, 'sha256', done.digest));
  end loop;
  return null;
end $$;
create trigger audited after insert on quantumflow.operator_action
  referencing new table as added for each statement execute function centralcloud.audit_operator_action();
create trigger append_only before update or delete or truncate on quantumflow.operator_action
  for each statement execute function centralcloud.refuse_rewriting();

-- The profile in force: what a proposal brought, overridden by what is held of its agent type, then of its instance. Where a person
-- has set anything of the agent type, a proposal no longer says whether it needs a vote and whether it may be taken back.
create function centralcloud.effective_profile(agent_type text, instance_id text, brought jsonb) returns jsonb
language sql stable as $$
  select case when exists (select from centralcloud.safety_profile s
                            where s.agent_type = effective_profile.agent_type
                              and s.instance_id in ('', effective_profile.instance_id) and s.operators <> '{}')
              then coalesce(brought, '{}') - '{needs_consensus,max_risk_score,auto_rollback}'::text[]
              else coalesce(brought, '{}') end
      || coalesce((select s.profile from centralcloud.safety_profile s
                    where s.agent_type = effective_profile.agent_type and s.instance_id = ''), '{}')
      || coalesce((select s.profile from centralcloud.safety_profile s
                    where s.agent_type = effective_profile.agent_type and s.instance_id = effective_profile.instance_id
                      and s.instance_id <> ''), '{}')
$$;

-- What was said in time counts, even if all coordinators were down when the time ran out. So before time decides anything about a
-- proposal: does a message of its lane that was published before `until` still wait (in the log, in a backlog, or in somebody's
-- hand)? Of its lane, which may be another proposal's: to know, every body that waits would have to be parsed, for every question.
create function centralcloud.lane_waits(stream_id int, until timestamptz) returns boolean language plpgsql stable
set enable_seqscan = off set enable_bitmapscan = off set jit = off set plan_cache_mode = force_generic_plan as $$
begin
  return exists (select from quantumflow.unread u
                  where u.stream_id = lane_waits.stream_id and u.consumer_group = 'centralcloud'
                    and u.enqueued_at <= lane_waits.until);
end $$;

-- The same of what waits for another attempt: there the proposal's own is told apart, since one message that fails again and
-- again must not hold up its lane. To be asked after lane_waits(): a message goes from the lane to the retries, never back.
create function centralcloud.retry_waits(stream_id int, proposal_id text, until timestamptz) returns boolean language sql stable as $$
  select exists (select from quantumflow.cursor c join quantumflow.retry t using (cursor_id)
                  where c.stream_id = retry_waits.stream_id and c.consumer_group = 'centralcloud'
                    and t.ordering_key = retry_waits.proposal_id and t.enqueued_at <= retry_waits.until and t.taken_by is null)
$$;

-- ── Instances and profiles ─────────────────────────────────────────────────────────────────────────────────────────

create function centralcloud.heartbeat(instance_id text, version text, roles text[]) returns void language plpgsql as $$
#variable_conflict use_column
begin
  perform quantumflow.check_instance(heartbeat.instance_id);
  if coalesce(length(heartbeat.instance_id), 0) not between 1 and 200 then
    raise exception 'instance_id: expected 1 to 200 characters' using errcode = 'invalid_parameter_value';
  end if;
  insert into centralcloud.instance as i (instance_id, version, roles)
  values (heartbeat.instance_id, coalesce(heartbeat.version, ''), coalesce(heartbeat.roles, '{}'))
  on conflict (instance_id) do update
     set version = excluded.version, roles = excluded.roles, last_seen_at = clock_timestamp(),
         -- What was kept for one that was away for long may have expired.
         profiles_told = i.profiles_told and i.last_seen_at > clock_timestamp() - interval '1 hour';
end $$;
comment on function centralcloud.heartbeat is
  'Registers an instance or says that it is alive. roles: what it takes part in; "voter" makes it part of electorates.';

-- What the Guardian sets as a source; whatever else there is, a person stands behind it.
create function centralcloud.learning_source() returns text language sql immutable as $$ select 'guardian_learning' $$;

-- instance_id: '' for every instance.
create function centralcloud.set_safety_profile(agent_type text, instance_id text, profile jsonb, source text, actor text)
returns void language plpgsql as $$
#variable_conflict use_column
declare
  learned boolean := set_safety_profile.source = centralcloud.learning_source();
  named text[] := array(select jsonb_object_keys(set_safety_profile.profile));
begin
  insert into centralcloud.safety_profile as s (agent_type, instance_id, profile, source, operators)
  values (set_safety_profile.agent_type, set_safety_profile.instance_id, set_safety_profile.profile, set_safety_profile.source,
          case when learned then '{}' else named end)
  on conflict (agent_type, instance_id) do update
     set profile = excluded.profile, source = excluded.source, updated_at = clock_timestamp(),
         operators = case when learned then s.operators else named end;
  perform centralcloud.audit(set_safety_profile.actor, 'safety_profile_update', null,
    jsonb_build_object('agent_type', set_safety_profile.agent_type, 'instance_id', nullif(set_safety_profile.instance_id, ''),
                       'profile', set_safety_profile.profile, 'source', set_safety_profile.source));
end $$;

-- The profile held of an agent type for every instance, or null; locked, so that nobody changes it before it is added to.
create function centralcloud.lock_safety_profile(agent_type text) returns jsonb language sql as $$
  select s.profile from centralcloud.safety_profile s
   where s.agent_type = lock_safety_profile.agent_type and s.instance_id = '' for no key update
$$;

-- Sets these bounds, but for those that a person set last, and leaves what else is held of the agent type. Returns all that is held
-- then; null where nothing was left to set.
create function centralcloud.add_to_safety_profile(agent_type text, bounds jsonb, source text, actor text) returns jsonb
language plpgsql as $$
declare
  whole jsonb;
  new_bounds jsonb;
begin
  insert into centralcloud.safety_profile (agent_type, profile, source)
  values (add_to_safety_profile.agent_type, '{}', add_to_safety_profile.source) on conflict do nothing;
  whole := centralcloud.lock_safety_profile(agent_type);
  select bounds - s.operators into new_bounds from centralcloud.safety_profile s
   where s.agent_type = add_to_safety_profile.agent_type and s.instance_id = '';
  if new_bounds = '{}' then return null; end if;
  whole := whole || new_bounds;
  perform centralcloud.set_safety_profile(agent_type, '', whole, source, actor);
  return whole;
end $$;
