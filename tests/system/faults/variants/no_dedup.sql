-- A spooled item is applied again although it was applied before: no key counts as known.
-- faults: drop_commit_reply, drop_commit_reply, drop_commit_reply
-- caught by: acknowledged_patterns, acknowledged_metrics
select pg_temp.patch('singularity.accept_once', 'return found;', 'return true;');
