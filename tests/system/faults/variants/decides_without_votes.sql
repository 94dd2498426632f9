-- A vote counts twice, so that one voter can approve alone.
-- faults: calm
-- caught by: explained_decision
do $mutate$
begin
  execute replace(pg_get_functiondef('centralcloud.counted_votes'::regproc), 'from centralcloud.vote v where',
                  'from centralcloud.vote v cross join generate_series(1, 2) twice where');
end $mutate$;
