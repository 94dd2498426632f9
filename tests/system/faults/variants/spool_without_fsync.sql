-- The spool answers before what it keeps is on the disk: a power cut takes what was acknowledged.
-- faults: spool_power_cut, spool_power_cut, spool_power_cut
-- environment: POWER_CUT_LIES=1
-- caught by: acknowledged_patterns, acknowledged_proposals
select 1;
