-- An agent says that it has rolled a change back, and leaves the change where it is.
-- faults: calm, calm
-- caught by: states_match_repository, repository_content
select pg_temp.patch('singularity.request_rollback', 'return ''requested'';', 'if current = ''applied'' then
    update singularity.rollback b set state = ''completed'', finished_at = clock_timestamp() where b.proposal_id = request_rollback.proposal_id;
    perform singularity.must_step(instance_id, request_rollback.proposal_id, ''rolled_back'', ''said so'');
    perform singularity.record_sample(instance_id, request_rollback.proposal_id, ''rolled_back'', null, null, ''agent'');
  end if;
  return ''requested'';');
