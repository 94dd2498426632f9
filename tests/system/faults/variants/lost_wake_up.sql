-- Publishers notify on channels that nobody listens to: only polling finds messages.
-- faults: calm, calm
-- caught by: wake_ups
select pg_temp.patch('quantumflow.wake_channel', 'IMMUTABLE', 'VOLATILE');
select pg_temp.patch('quantumflow.wake_channel', '''quantumflow_'' || wake_id', '''quantumflow_'' || wake_id || ''_'' || (random() * 1e9)::int');
