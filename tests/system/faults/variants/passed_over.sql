-- A broadcast passes one instance over: it takes the request for its vote, and nothing of it is kept.
-- faults: calm
-- caught by: broadcasts
select pg_temp.patch('singularity.open_vote', 'values (open_vote.instance_id, request ->> ''proposal_id'', request ->> ''instance_id'', open_vote.request,
            open_vote.deadline)', 'select open_vote.instance_id, request ->> ''proposal_id'', request ->> ''instance_id'', open_vote.request, open_vote.deadline
     where open_vote.instance_id <> ''agent-1''');
