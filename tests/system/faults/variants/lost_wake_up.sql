-- Publishers notify on channels that nobody listens to: only polling finds messages.
-- faults: calm, calm
-- caught by: wake_ups
create or replace function quantumflow.wake_channel(wake_id int) returns text language sql volatile parallel safe as
  $$ select 'quantumflow_' || wake_id || '_' || (random() * 1e9)::int $$;
