-- A person's vote is written down as a rejection, whatever it was.
-- faults: calm
-- caught by: acknowledged_votes
select pg_temp.patch('singularity.answer_vote', 'set vote = answer_vote.vote,',
                     'set vote = case when answer_vote.answered_by = ''person'' then ''reject'' else answer_vote.vote end,');
