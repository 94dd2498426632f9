-- Rollback triggers leave no audit entry.
-- faults: calm, proposals_at_once
-- caught by: audit
select pg_temp.patch('centralcloud.start_rollback', 'perform centralcloud.audit(', 'perform format(''%s %s %s %s'', ');
