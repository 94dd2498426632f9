-- What an agent tells of itself later does not replace what it told first.
-- faults: calm, calm
-- caught by: acknowledged_agent_metrics
select pg_temp.patch('singularity.tell_metrics', 'set metrics = excluded.metrics,', 'set metrics = m.metrics,');
