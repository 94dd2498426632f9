-- Rollback triggers leave no audit entry.
-- faults: calm, proposals_at_once
-- caught by: audit
do $mutate$
begin
  execute replace(pg_get_functiondef('centralcloud.start_rollback'::regproc), 'perform centralcloud.audit(',
                  'perform format(''%s %s %s %s'', ');
end $mutate$;
