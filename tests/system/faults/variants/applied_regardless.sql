-- Agents carry out what was rejected, too.
-- faults: calm, calm
-- caught by: executed_once
select pg_temp.patch('singularity.record_decision', 'approved boolean := decision ->> ''status'' = ''approved'';', 'approved boolean := true;');
