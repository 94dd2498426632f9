-- What an agent's local API accepted, by the key it was given when it came in: applied once, although the reply to its
-- COMMIT was lost, or the agent died between applying it and forgetting it.
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

-- Longer than any outage that a spool is to bridge.
create function singularity.trim_accepted(instance text, keep interval default '30 days') returns bigint language plpgsql as $$
declare trimmed bigint;
begin
  perform quantumflow.check_instance(instance);
  delete from singularity.accepted a where a.instance_id = instance and a.at < clock_timestamp() - keep;
  get diagnostics trimmed = row_count;
  return trimmed;
end $$;
