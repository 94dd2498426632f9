-- Seals pass one chain over: what stands at its end can be removed unseen.
-- faults: calm
-- caught by: audit_verified
select pg_temp.patch('centralcloud.seal_audit', 'where c.chain > 0;', 'where c.chain > 1;');
