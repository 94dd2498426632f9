-- Of the dead letters that a person clears away every other one is not noted.
-- faults: poison_burst, calm, calm
-- caught by: conservation
select pg_temp.patch('quantumflow.purge_dlq', 'from gone g returning 1)', 'from gone g where g.msg_id % 2 = 0 returning 1)');
