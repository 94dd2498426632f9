-- A spooled item is applied again although it was applied before: no key is remembered.
-- faults: drop_commit_reply, drop_commit_reply, drop_commit_reply
-- caught by: acknowledged_patterns, acknowledged_metrics
create or replace function singularity.accept_once(instance text, key uuid) returns boolean language plpgsql as $$
begin
  return true;
end $$;
