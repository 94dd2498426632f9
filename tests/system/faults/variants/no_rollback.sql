-- A breach is seen, and no rollback is begun.
-- faults: calm, flood
-- caught by: one_rollback_a_breach
select pg_temp.patch('centralcloud.start_rollback', 'if not found or c.state not in (', 'if true or c.state not in (');
