-- A vote counts twice, so that one voter can approve alone.
-- faults: calm
-- caught by: explained_decision
select pg_temp.patch('centralcloud.counted_votes', 'from centralcloud.vote v where',
                     'from centralcloud.vote v cross join generate_series(1, 2) twice where');
