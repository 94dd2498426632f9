-- Patterns, and how people read what the coordinators know.

-- ── Patterns ───────────────────────────────────────────────────────────────────────────────────────────────────────

create function centralcloud.find_pattern(fingerprint text) returns text language sql stable as $$
  select f.pattern_id from centralcloud.pattern_form f where f.fingerprint = find_pattern.fingerprint
$$;

-- Those whose code has no more than max_bytes: each is compared.
create function centralcloud.pattern_candidates(pattern_type text, max_bytes bigint, max int)
returns table (pattern_id text, code text) language sql stable as $$
  select p.pattern_id, p.code from centralcloud.pattern p where p.pattern_type = pattern_candidates.pattern_type
     and octet_length(p.code) <= pattern_candidates.max_bytes
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
  select count(*), sum(s.success_rate), least(sum(greatest(s.usage_count, s.reports)), 9223372036854775807)::bigint, jsonb_agg(s.instance_id order by s.instance_id)
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
  select s.agent_type, nullif(s.instance_id, '') as instance_id, s.profile, s.source, s.updated_at,
         s.operators as set_by_operators
    from centralcloud.safety_profile s;

create view centralcloud.audit_entries as
  select a.audit_id, a.at, a.actor, a.role, a.action, a.proposal_id, a.detail from centralcloud.audit_log a
   where a.action <> 'seal';
comment on view centralcloud.audit_entries is 'Who did what, without what holds the log together.';

create function centralcloud.list_audit(proposal_id text default null, before bigint default null, max int default 100)
returns setof jsonb language sql stable set timezone = 'UTC' as $$
  select to_jsonb(v) from centralcloud.audit_entries v
   where (list_audit.proposal_id is null or v.proposal_id = list_audit.proposal_id)
     and (list_audit.before is null or v.audit_id < list_audit.before)
   order by v.audit_id desc limit list_audit.max
$$;
comment on function centralcloud.list_audit is 'Audit entries, newest first; before: an audit_id, to page on.';

-- Newest first. status: null, a state of the vote, a state of the change, or not_begun: approved within a day, and not heard of since. after: the last proposal of the page before.
-- Both kinds of state are read from an index in the list's order: a page costs the same however many proposals there are.
create function centralcloud.list_proposals(status text default null, max int default 100, after text default null)
returns setof jsonb language plpgsql stable set timezone = 'UTC' as $$
#variable_conflict use_column
declare
  below_at timestamptz := 'infinity';
  below_id text := '';
begin
  if list_proposals.after is not null then
    select p.received_at, p.proposal_id into below_at, below_id from centralcloud.proposal p
     where p.proposal_id = list_proposals.after;
    if not found then
      raise exception 'after: there is no proposal "%"', left(list_proposals.after, 200) using errcode = 'no_data_found';
    end if;
  end if;
  return query
    with page as (
      (select p.proposal_id, p.received_at from centralcloud.proposal p
        where list_proposals.status is null and (p.received_at, p.proposal_id) < (below_at, below_id)
        order by p.received_at desc, p.proposal_id desc limit list_proposals.max)
      union all
      (select p.proposal_id, p.received_at from centralcloud.proposal p
        where p.state = list_proposals.status and (p.received_at, p.proposal_id) < (below_at, below_id)
        order by p.received_at desc, p.proposal_id desc limit list_proposals.max)
      union all
      (select c.proposal_id, c.received_at from centralcloud.change c
        where c.state = list_proposals.status and (c.received_at, c.proposal_id) < (below_at, below_id)
        order by c.received_at desc, c.proposal_id desc limit list_proposals.max)
      union all
      (select p.proposal_id, p.received_at from centralcloud.proposal p
        where list_proposals.status = 'not_begun' and p.state = 'approved' and p.received_at > now() - interval '1 day'
          and not exists (select from centralcloud.change c where c.proposal_id = p.proposal_id)
          and (p.received_at, p.proposal_id) < (below_at, below_id)
        order by p.received_at desc, p.proposal_id desc limit list_proposals.max)
      order by 2 desc, 1 desc limit list_proposals.max)
    select to_jsonb(v) from page join centralcloud.proposals v using (proposal_id)
     order by v.received_at desc, v.proposal_id desc;
end $$;

-- By name. after: the last instance of the page before. waiting: messages that it has not taken, counted up to 1000. The page's
-- cursors are looked up first, so that only their messages are read and not the whole log once an instance.
create function centralcloud.list_instances(fresh_ms bigint, max int default 1000, after text default null)
returns setof jsonb language sql stable set timezone = 'UTC' as $$
  with page as materialized (
    select * from centralcloud.instances i
     where list_instances.after is null or i.instance_id > list_instances.after
     order by i.instance_id limit list_instances.max),
  readers as materialized (
    select c.consumer_group as instance_id, array_agg(c.cursor_id) as cursor_ids from quantumflow.cursor c
     where c.consumer_group in (select p.instance_id from page p) group by 1)
  select to_jsonb(v) || jsonb_build_object('fresh', v.seen_seconds_ago * 1000 < list_instances.fresh_ms, 'waiting', w.messages,
           'oldest_waiting_seconds', round(extract(epoch from clock_timestamp() - w.oldest), 3))
    from page v left join readers r using (instance_id)
    cross join lateral (
      select count(*) as messages, min(u.enqueued_at) as oldest from (
        select t.enqueued_at from quantumflow.unread t where t.cursor_id = any (r.cursor_ids) limit 1000) u) w
   order by v.instance_id
$$;

create function centralcloud.list_patterns(max int default 100) returns setof jsonb
language sql stable set timezone = 'UTC' as $$
  -- The page first: only its code is read and its reports are added up.
  with page as materialized (
    select p.pattern_id from centralcloud.pattern p order by p.last_seen_at desc, p.pattern_id limit list_patterns.max)
  select to_jsonb(v) from page join centralcloud.patterns v using (pattern_id) order by v.last_seen_at desc, v.pattern_id
$$;

create function centralcloud.list_safety_profiles(max int default 1000) returns setof jsonb
language sql stable set timezone = 'UTC' as $$
  select to_jsonb(v) from centralcloud.safety_profiles v order by v.agent_type, v.instance_id nulls first
   limit list_safety_profiles.max
$$;

-- How many proposals are where. What is over counts for a day; each count ends at 10000, so that it stays an index probe.
create function centralcloud.pipeline() returns jsonb language sql stable as $$
  select jsonb_object_agg(s.state, coalesce(n.proposals, 0)) from (values
      ('voting', true), ('approved', false), ('executing', true), ('watching', true), ('rollback_triggered', true),
      ('confirmed', false), ('rolled_back', false), ('rollback_failed', false), ('failed', false), ('rejected', false)
    ) s(state, under_way) cross join lateral (
      select count(*) as proposals from (
        (select from centralcloud.proposal p
          where p.state = s.state and (s.under_way or p.received_at > now() - interval '1 day')
            and (s.state <> 'approved' or not exists (select from centralcloud.change c where c.proposal_id = p.proposal_id))
          limit 10000)
        union all
        (select from centralcloud.change c
          where c.state = s.state and (s.under_way or c.received_at > now() - interval '1 day') limit 10000)) counted) n
$$;

-- What the front page shows, again and again while somebody looks.
create function centralcloud.overview(fresh_ms bigint, forgotten_ms bigint default 7 * 86400000::bigint) returns jsonb language sql stable set timezone = 'UTC' as $$
  select jsonb_build_object(
    'at', clock_timestamp(),
    'queues', (select coalesce(jsonb_agg(to_jsonb(q)), '[]') from quantumflow.list_queues() q),
    'pipeline', centralcloud.pipeline(),
    'instances', (select jsonb_build_object('registered', count(*), 'fresh', count(*) filter (
                           where i.last_seen_at > clock_timestamp() - overview.fresh_ms * interval '1 millisecond'))
                    from centralcloud.instance i
                   where i.last_seen_at > clock_timestamp() - overview.forgotten_ms * interval '1 millisecond'))
$$;

-- The last hour, a row a minute that had any: what became of the proposals that came in it. At most the newest 20000.
create function centralcloud.activity() returns jsonb language sql stable set timezone = 'UTC' as $$
  select coalesce(jsonb_agg(to_jsonb(m) order by m.at), '[]') from (
    select date_trunc('minute', r.received_at) as at, coalesce(c.state, r.state) as status, count(*) as proposals
      from (select p.proposal_id, p.received_at, p.state from centralcloud.proposal p
             where p.received_at > now() - interval '1 hour' order by p.received_at desc limit 20000) r
      left join centralcloud.change c using (proposal_id)
     group by 1, 2) m
$$;

-- The steps of transactions that `since` does not see, oldest first, and the snapshot to ask with next. Null: the newest `max`.
create function centralcloud.steps_since(since pg_snapshot, max int default 200)
returns table (next_since text, steps jsonb) language sql stable set timezone = 'UTC' as $$
  select pg_current_snapshot()::text, coalesce((
    select jsonb_agg(jsonb_build_object('proposal_id', s.proposal_id, 'state', s.state, 'cause', s.cause, 'actor', s.actor, 'at', s.at,
                                        'description', left(p.body #>> '{metadata,description}', 200)) order by s.xid, s.step_id)
      from (select * from centralcloud.step t
             where t.xid >= coalesce(pg_snapshot_xmin(since), '0') and (since is null or not pg_visible_in_snapshot(t.xid, since))
             order by t.xid desc, t.step_id desc limit steps_since.max) s
      join centralcloud.proposal p using (proposal_id)), '[]')
$$;

-- For a reader that asks again and again: with_code false leaves out the proposal's code_change and preview, which never change and
-- may be most of it; of the samples come those behind `samples_after`, a sample_id.
create function centralcloud.proposal_story(proposal_id text, with_code boolean default true, samples_after bigint default 0) returns jsonb
language sql stable set timezone = 'UTC' as $$
  select to_jsonb(v) || jsonb_build_object(
      'proposal', case when proposal_story.with_code then p.body else p.body - '{code_change,preview}'::text[] end,
      'voters', (select coalesce(jsonb_agg(e.instance_id order by e.instance_id), '[]') from centralcloud.electorate e
                  where e.proposal_id = p.proposal_id),
      'vote_list', (select coalesce(jsonb_agg(to_jsonb(t) - 'proposal_id' order by t.received_at, t.instance_id), '[]')
                      from centralcloud.vote t where t.proposal_id = p.proposal_id),
      'decision', (select to_jsonb(d) - 'proposal_id' from centralcloud.decision d where d.proposal_id = p.proposal_id),
      'change', (select to_jsonb(c) - 'proposal_id' from centralcloud.change c where c.proposal_id = p.proposal_id),
      'steps', (select coalesce(jsonb_agg(to_jsonb(s) - '{proposal_id,step_id,xid}'::text[] order by s.step_id), '[]')
                  from centralcloud.step s where s.proposal_id = p.proposal_id),
      -- The last 1000 samples, oldest first.
      'samples', (select coalesce(jsonb_agg(to_jsonb(s) - 'proposal_id' order by s.sample_id), '[]') from (
                    select * from centralcloud.sample m where m.proposal_id = p.proposal_id and m.sample_id > proposal_story.samples_after
                     order by m.sample_id desc limit 1000) s),
      'rollback', (select to_jsonb(r) - 'proposal_id' from centralcloud.rollback r where r.proposal_id = p.proposal_id),
      'audit', (select coalesce(jsonb_agg(to_jsonb(a) - 'proposal_id' order by a.audit_id), '[]') from (
                  select * from centralcloud.audit_entries l
                   where l.proposal_id = p.proposal_id and l.action not in ('step', 'agent_step')
                   order by l.audit_id desc limit 1000) a))
    from centralcloud.proposals v join centralcloud.proposal p using (proposal_id)
   where v.proposal_id = proposal_story.proposal_id
$$;
comment on function centralcloud.proposal_story is
  'The whole story of a proposal: votes, decision, steps, samples, rollback, audit entries. Null: there is no such proposal.';
