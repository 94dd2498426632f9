-- Agents take every decision for a refusal: all is decided, and nothing is ever carried out.
-- faults: calm, calm
-- caught by: alive
select pg_temp.patch('singularity.record_decision', 'approved boolean := decision ->> ''status'' = ''approved'';', 'approved boolean := false;');
