-- An agent writes a rollback's trigger down and never begins with it.
-- faults: calm, calm
-- caught by: rollbacks_reported, recovery
select pg_temp.patch('singularity.next_rollback', 'and r.finished_at is null and r.next_attempt_at', 'and r.finished_at < r.requested_at and r.next_attempt_at');
