-- An audit entry's hash does not cover the entry before it: whoever changes one need not change those that follow.
-- faults: calm
-- caught by: audit_verified
select pg_temp.patch('centralcloud.audit_hash', 'sha256(e.previous || convert_to(', 'sha256(convert_to(');
