-- A step of an instance leaves no audit entry where a change is applied by it.
-- faults: calm
-- caught by: audit
select pg_temp.patch('centralcloud.audit_agent_step', 'perform centralcloud.audit(new.instance_id,',
                     'if new.to_state = ''applied'' then return null; end if;
  perform centralcloud.audit(new.instance_id,');
