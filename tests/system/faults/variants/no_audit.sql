-- Rollback triggers leave no audit entry.
-- faults: proposals_at_once
-- caught by: audit
do $mutate$
begin
  execute replace(pg_get_functiondef('centralcloud.start_rollback'::regproc), 'perform centralcloud.audit(',
                  'perform centralcloud.add_step(c.proposal_id, ''unaudited'', '''', ''nobody''); if false then perform null; end if; --');
end $mutate$;
