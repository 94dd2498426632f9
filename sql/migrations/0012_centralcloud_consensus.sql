-- The vote: opening, tallying, one decision. A proposal's lock is one for no key update: what only refers to the proposal (the first
-- sample of its change, in another transaction that has another proposal's in hand) need not wait for it, and so cannot deadlock.

-- Records a proposal. disposition: new | same (the same content again) | conflict (the id has other content) | taken (the same, and
-- it is another instance's) | too_large (new, and not recorded: `fits` says whether voters can be asked about it).
create function centralcloud.receive_proposal(body jsonb, fits boolean default true, out disposition text, out profile jsonb)
language plpgsql as $$
#variable_conflict use_column
declare
  id text := body ->> 'proposal_id';
  known centralcloud.proposal;
  -- A replay after a lost reply may differ in these, and in nothing else.
  volatile_keys constant text[] := '{timestamp,priority_score,schema_version,traceparent,preview}';
begin
  if not fits and not exists (select from centralcloud.proposal p where p.proposal_id = id) then
    disposition := 'too_large';
    perform centralcloud.audit(receive_proposal.body ->> 'instance_id', 'proposal_too_large', id, null);
    return;
  end if;
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
  select * into known from centralcloud.proposal p where p.proposal_id = id;
  disposition := case when known.body - volatile_keys = receive_proposal.body - volatile_keys then 'same'
                      when known.instance_id = receive_proposal.body ->> 'instance_id' then 'conflict' else 'taken' end;
  if disposition <> 'same' then
    perform centralcloud.audit(receive_proposal.body ->> 'instance_id', 'proposal_conflict', id,
                               jsonb_build_object('refused', receive_proposal.body));
  end if;
end $$;

-- Who could vote now: registered voters with a fresh heartbeat.
create function centralcloud.present_voters(proposer text, fresh_ms bigint, proposer_may_vote boolean) returns setof text
language sql stable as $$
  select i.instance_id from centralcloud.instance i
   where 'voter' = any (i.roles) and i.last_seen_at > clock_timestamp() - present_voters.fresh_ms * interval '1 millisecond'
     and (present_voters.proposer_may_vote or i.instance_id <> present_voters.proposer)
$$;

-- Opens the vote: fixes the electorate and the deadline. With fewer than min_voters present it stays closed (deadline is
-- null) until wait_ms after the proposal came: after an outage the proposal may be here before the voters are.
create function centralcloud.open_vote(proposal_id text, timeout_ms bigint, fresh_ms bigint, proposer_may_vote boolean,
                                       min_voters bigint, wait_ms bigint,
                                       out deadline timestamptz, out electorate_size bigint) language plpgsql as $$
#variable_conflict use_column
declare
  p centralcloud.proposal;
  voters text[];
begin
  select * into p from centralcloud.proposal t
   where t.proposal_id = open_vote.proposal_id and t.state = 'voting' and t.deadline is null for no key update;
  if not found then
    raise exception 'proposal_id: there is no vote to open for "%"', left(open_vote.proposal_id, 200)
      using errcode = 'no_data_found';
  end if;
  voters := array(select * from centralcloud.present_voters(p.instance_id, open_vote.fresh_ms, open_vote.proposer_may_vote));
  electorate_size := cardinality(voters);
  if electorate_size < open_vote.min_voters
     and clock_timestamp() < p.received_at + open_vote.wait_ms * interval '1 millisecond' then
    return;
  end if;
  update centralcloud.proposal t
     set deadline = clock_timestamp() + open_vote.timeout_ms * interval '1 millisecond'
   where t.proposal_id = open_vote.proposal_id returning t.deadline into open_vote.deadline;
  insert into centralcloud.electorate (proposal_id, instance_id) select open_vote.proposal_id, unnest(voters);
  perform centralcloud.add_step(open_vote.proposal_id, 'voting', format('vote opened: %s voters, until %s', electorate_size,
    to_char(open_vote.deadline at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')), 'centralcloud');
end $$;

-- A proposal whose vote can be opened now although it could not before, locked; null where there is none. `skip`, here and in what
-- else timers take: proposals that failed a moment ago.
create function centralcloud.take_waiting_proposal(fresh_ms bigint, proposer_may_vote boolean, min_voters bigint, wait_ms bigint,
                                                   skip text[] default '{}') returns jsonb language sql as $$
  select p.body from centralcloud.proposal p
   where p.state = 'voting' and p.deadline is null and p.proposal_id <> all (skip)
     and (clock_timestamp() >= p.received_at + wait_ms * interval '1 millisecond'
          or (select count(*) from centralcloud.present_voters(p.instance_id, fresh_ms, proposer_may_vote)) >= min_voters)
   order by p.received_at limit 1 for no key update skip locked
$$;

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
  select * into p from centralcloud.proposal t where t.proposal_id = record_vote.proposal_id for no key update;
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

-- Takes one vote whose time is up, and locks it. No row: none is due, or others have them in hand. Nothing is locked but what is
-- taken: those who record votes need the locks of the others, and need them most when many are due.
create function centralcloud.take_due_vote(skip text[] default '{}')
returns table (proposal_id text, instance_id text, electorate_size bigint, votes jsonb) language plpgsql as $$
#variable_conflict use_column
declare
  asked_at timestamptz := clock_timestamp();
  due record;
  waiting int[] := '{}';  -- lanes that have something from before a deadline have it from before every later one
  p centralcloud.proposal;
begin
  for due in select t.proposal_id, t.deadline, quantumflow.lane_stream(q, t.proposal_id) as lane
               from centralcloud.proposal t cross join quantumflow.queue q
              where t.state = 'voting' and t.deadline <= asked_at and q.name = 'votes_for_consensus_queue'
                and t.proposal_id <> all (skip)
              order by t.deadline limit 10000
  loop
    continue when due.lane = any (waiting);
    if centralcloud.lane_waits(due.lane, due.deadline) then
      waiting := waiting || due.lane;
      continue;
    end if;
    continue when centralcloud.retry_waits(due.lane, due.proposal_id, due.deadline);
    select * into p from centralcloud.proposal t
     where t.proposal_id = due.proposal_id and t.state = 'voting' for no key update skip locked;
    continue when not found;
    return query select p.proposal_id, p.instance_id,
      (select count(*) from centralcloud.electorate e where e.proposal_id = p.proposal_id), centralcloud.counted_votes(p.proposal_id);
    return;
  end loop;
end $$;

-- Decides, once. Returns the counted votes and who proposed; no row where it is decided already.
create function centralcloud.decide(proposal_id text, status text, rule text, rationale text, confidence numeric, actor text)
returns table (instance_id text, votes jsonb, traceparent text) language plpgsql as $$
#variable_conflict use_column
declare
  proposer text;
  trace text;
  counted jsonb;
begin
  update centralcloud.proposal p set state = decide.status, decided_at = clock_timestamp()
   where p.proposal_id = decide.proposal_id and p.state = 'voting' returning p.instance_id, p.body ->> 'traceparent' into proposer, trace;
  if not found then return; end if;
  counted := centralcloud.counted_votes(decide.proposal_id);
  insert into centralcloud.decision (proposal_id, status, rule, rationale, confidence, vote_details)
  values (decide.proposal_id, decide.status, decide.rule, decide.rationale, decide.confidence, counted);
  perform centralcloud.add_step(decide.proposal_id, decide.status, decide.rationale, decide.actor);
  perform centralcloud.audit(decide.actor, 'decision', decide.proposal_id,
    jsonb_build_object('status', decide.status, 'rule', decide.rule, 'confidence', decide.confidence, 'votes', counted));
  return query select proposer, counted, trace;
end $$;

-- Changes of the same kind that were confirmed safe, newest first: for approval by similarity. code_change is null where it
-- has more than max_bytes, of which what is kept says something before it is unpacked.
create function centralcloud.confirmed_code_changes(agent_type text, change_type text, max_bytes bigint, max int)
returns table (code_change text, total bigint) language sql stable as $$
  with newest as materialized (
    select c.proposal_id, c.ended_at, count(*) over () as total from centralcloud.change c
     where c.state = 'confirmed' and c.agent_type = confirmed_code_changes.agent_type
       and c.change_type is not distinct from confirmed_code_changes.change_type
     order by c.ended_at desc limit confirmed_code_changes.max)
  select case when octet_length(t.code) <= max_bytes then t.code end, n.total
    from newest n join centralcloud.proposal p using (proposal_id) cross join lateral (
      select case when pg_column_size(p.body) <= 2 * max_bytes then (p.body -> 'code_change')::text end as code offset 0) t
   order by n.ended_at desc
$$;
