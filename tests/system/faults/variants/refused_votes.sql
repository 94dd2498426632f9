-- A person's vote is refused as too late while the vote is open.
-- faults: calm
-- caught by: refusals, alive
select pg_temp.patch('singularity.answer_vote', 'v.answered_at is null and v.deadline <= clock_timestamp()',
                     'v.answered_at is null and (v.deadline <= clock_timestamp() or answer_vote.answered_by = ''person'')');
