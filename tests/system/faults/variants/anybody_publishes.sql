-- An instance may publish in any other's name.
-- faults: calm
-- caught by: confined
select pg_temp.patch('quantumflow.check_publish', 'elsif payload ->> ''instance_id'' is distinct from me then', 'elsif false then');
