-- What an agent votes on and learns, and how people read all of it.

-- ── Voting ─────────────────────────────────────────────────────────────────────────────────────────────────────────

-- Keeps a voting_request. Answers waiting, answered (before), or late (its deadline has passed).
create function singularity.open_vote(instance_id text, request jsonb, deadline timestamptz) returns text
language plpgsql as $$
declare v singularity.vote_request;
begin
  perform quantumflow.check_instance(instance_id);
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
-- voted before), late, unknown; and the trace that the request belongs to.
create function singularity.answer_vote(instance_id text, proposal_id text, vote text, confidence numeric, reason text,
                                        answered_by text, out outcome text, out traceparent text) language plpgsql as $$
#variable_conflict use_column
declare v singularity.vote_request;
begin
  perform quantumflow.check_instance(instance_id);
  select * into v from singularity.vote_request w
   where w.instance_id = answer_vote.instance_id and w.proposal_id = answer_vote.proposal_id for update;
  outcome := case
    when not found then 'unknown'
    when v.answered_at is null and v.deadline <= clock_timestamp() then 'late'
    when v.answered_at is null then 'cast'
    when v.vote = answer_vote.vote and v.confidence = answer_vote.confidence then 'same'
    else 'other' end;
  traceparent := v.request ->> 'traceparent';
  if outcome <> 'cast' then return; end if;
  update singularity.vote_request w
     set vote = answer_vote.vote, confidence = answer_vote.confidence, reason = answer_vote.reason,
         answered_by = answer_vote.answered_by, answered_at = clock_timestamp(), problem = null
   where w.instance_id = answer_vote.instance_id and w.proposal_id = answer_vote.proposal_id;
end $$;

create function singularity.mark_vote_cast(instance_id text, proposal_id text, message_id bigint) returns void
language sql as $$
  select quantumflow.check_instance(instance_id);
  update singularity.vote_request v set message_id = mark_vote_cast.message_id
   where v.instance_id = mark_vote_cast.instance_id and v.proposal_id = mark_vote_cast.proposal_id
$$;

create function singularity.waiting_votes(instance_id text, max int) returns setof jsonb language sql stable as $$
  select quantumflow.check_instance(instance_id);
  select v.request || jsonb_strip_nulls(jsonb_build_object('received_at', singularity.rfc3339(v.received_at),
                                                           'problem', v.problem))
    from singularity.vote_request v
   where v.instance_id = waiting_votes.instance_id and v.answered_at is null and v.deadline > clock_timestamp()
   order by v.deadline, v.proposal_id limit waiting_votes.max
$$;

-- The request that the voter's command answers next; one that failed `max_attempts` times waits for a person.
create function singularity.next_vote(instance_id text, max_attempts int) returns jsonb language sql stable as $$
  select quantumflow.check_instance(instance_id);
  select v.request || jsonb_build_object('remaining_ms', floor(extract(epoch from v.deadline - clock_timestamp()) * 1000))
    from singularity.vote_request v
   where v.instance_id = next_vote.instance_id and v.answered_at is null and v.deadline > clock_timestamp()
     and v.attempts < next_vote.max_attempts
   order by v.attempts, v.deadline, v.proposal_id limit 1
$$;

create function singularity.fail_vote(instance_id text, proposal_id text, problem text) returns void language sql as $$
  select quantumflow.check_instance(instance_id);
  update singularity.vote_request v set attempts = v.attempts + 1, problem = left(fail_vote.problem, 2000)
   where v.instance_id = fail_vote.instance_id and v.proposal_id = fail_vote.proposal_id and v.answered_at is null
$$;

-- ── Profiles and patterns ──────────────────────────────────────────────────────────────────────────────────────────

-- False: a newer profile of the type is there already.
create function singularity.put_safety_profile(instance_id text, agent_type text, profile jsonb, source text,
                                               sent_at timestamptz) returns boolean language plpgsql as $$
begin
  perform quantumflow.check_instance(instance_id);
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
  select quantumflow.check_instance(instance_id);
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
  perform quantumflow.check_instance(instance_id);
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
  select quantumflow.check_instance(instance_id);
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
  select quantumflow.check_instance(instance_id);
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
  select quantumflow.check_instance(instance_id);
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
  select quantumflow.check_instance(instance_id);
  select pg_current_snapshot()::text, coalesce((
    select jsonb_agg(jsonb_build_object('proposal_id', s.proposal_id, 'from', s.from_state, 'to', s.to_state,
                                        'cause', s.cause, 'at', singularity.rfc3339(s.at)) order by s.xid, s.step_id)
      from singularity.proposal_step s
     where since is not null and s.instance_id = steps_since.instance_id
       and s.xid >= pg_snapshot_xmin(since) and not pg_visible_in_snapshot(s.xid, since)), '[]')
$$;

create function singularity.depths(instance_id text)
returns table (status text, proposals bigint) language sql stable as $$
  select quantumflow.check_instance(instance_id);
  select p.status, count(*) from singularity.proposal p where p.instance_id = depths.instance_id group by p.status
$$;
