-- A failed attempt is not counted.
-- faults: calm, proposals_at_once
-- caught by: retries
select pg_temp.patch('quantumflow.fail', 'set attempts = r.attempts + 1,', 'set attempts = r.attempts,');
