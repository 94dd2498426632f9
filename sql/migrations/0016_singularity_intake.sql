-- What an agent's process has in the database: the keys of what its local API accepted, and its claim on being the instance.

-- What came in, by the key it was given then: applied once, although the reply to its COMMIT was lost, or the agent died between
-- applying it and forgetting it.
create table singularity.accepted (
  instance_id text not null check (length(instance_id) between 1 and 200),
  key         uuid not null,
  at          timestamptz not null default clock_timestamp(),
  primary key (instance_id, key));
create index on singularity.accepted (at);

-- True the first time, in the transaction that applies it.
create function singularity.accept_once(instance text, key uuid) returns boolean language plpgsql as $$
begin
  perform quantumflow.check_instance(instance);
  insert into singularity.accepted (instance_id, key) values (instance, accept_once.key) on conflict do nothing;
  return found;
end $$;

-- Longer than any outage that a spool is to bridge. At most 50000 at once: called again and again.
create function singularity.trim_accepted(instance text, keep interval default '30 days') returns bigint language plpgsql as $$
declare trimmed bigint;
begin
  perform quantumflow.check_instance(instance);
  delete from singularity.accepted a where a.instance_id = instance and a.key in (
    select o.key from singularity.accepted o where o.instance_id = instance and o.at < clock_timestamp() - keep limit 50000);
  get diagnostics trimmed = row_count;
  return trimmed;
end $$;

-- ── One process an instance ────────────────────────────────────────────────────────────────────────────────────────

-- The agent's process that is the instance now.
create table singularity.running_agent (
  instance_id text primary key check (length(instance_id) between 1 and 200),
  run         text not null,             -- made anew at each start
  holder      text not null check (length(holder) <= 400),  -- where it runs, for people
  backend_pid int,                       -- its listening session; null: it has none
  since       timestamptz not null default clock_timestamp(),
  renewed_at  timestamptz not null default clock_timestamp());

-- Claims the instance for a process. Null: it is its own now. Otherwise who has it: a process that renewed its claim within
-- lease_ms and whose listening session is there. So a crash gives the instance free as soon as the server has noticed it.
-- listening: this is the listening session. Rejected: an advisory lock, which any other instance's role could take.
create function singularity.claim_instance(instance text, run text, holder text, listening boolean, lease_ms bigint) returns text
language plpgsql as $$
declare held singularity.running_agent;
begin
  perform quantumflow.check_instance(instance);
  loop
    insert into singularity.running_agent as r (instance_id, run, holder, backend_pid)
    values (instance, claim_instance.run, left(claim_instance.holder, 400), case when listening then pg_backend_pid() end)
    on conflict on constraint running_agent_pkey do nothing;
    if found then return null; end if;
    select * into held from singularity.running_agent r where r.instance_id = instance for update;
    exit when found;  -- else it was released in between
  end loop;
  if held.run <> claim_instance.run and held.renewed_at > clock_timestamp() - lease_ms * interval '1 millisecond'
     and (held.backend_pid is null or exists (select from pg_stat_activity a where a.pid = held.backend_pid)) then
    return format('%s, since %s', held.holder, singularity.rfc3339(held.since));
  end if;
  update singularity.running_agent r
     set run = claim_instance.run, holder = left(claim_instance.holder, 400), renewed_at = clock_timestamp(),
         backend_pid = case when listening then pg_backend_pid() end,
         since = case when held.run = claim_instance.run then held.since else clock_timestamp() end
   where r.instance_id = instance;
  return null;
end $$;

-- Null: the claim holds for another lease. Otherwise who has taken the instance.
create function singularity.renew_claim(instance text, run text) returns text language plpgsql as $$
begin
  perform quantumflow.check_instance(instance);
  update singularity.running_agent r set renewed_at = clock_timestamp()
   where r.instance_id = instance and r.run = renew_claim.run;
  if found then return null; end if;
  return coalesce((select format('%s, since %s', r.holder, singularity.rfc3339(r.since)) from singularity.running_agent r
                    where r.instance_id = instance), 'nobody');
end $$;

create function singularity.release_claim(instance text, run text) returns void language plpgsql as $$
begin
  perform quantumflow.check_instance(instance);
  delete from singularity.running_agent r where r.instance_id = instance and r.run = release_claim.run;
end $$;
