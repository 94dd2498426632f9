\ir _roles.sql
-- An instance that leaves something behind which its role owns cannot keep itself from being removed by that.
\c :beta
select lo_create(0) as left_behind \gset
select centralcloud.heartbeat('beta', '1', '{}') \g /dev/null
\c :owner
select expect((select count(*) from centralcloud.instance where instance_id = 'beta'), 1::bigint, 'heard of');
select expect(quantumflow.unenroll('beta'), current_database() || '_beta', 'removed');
select expect((select (rolcanlogin, pg_has_role(rolname, 'singularity_agent', 'member'))::text from pg_roles
                where rolname = current_database() || '_beta'), '(f,f)', 'it is nobody, and cannot log in');
select expect((select count(*) from quantumflow.instance_role where instance_id = 'beta'), 0::bigint, 'not enrolled');
select expect((select count(*) from centralcloud.instance where instance_id = 'beta'), 0::bigint, 'and no longer one of the fleet that people look after');
-- Enrolled again, it is what it was; with nothing left behind, the role goes.
select expect(quantumflow.enroll('beta', 'secret'), current_database() || '_beta', 'enrolled again');
\c :beta
select public.expect(quantumflow.session_instance(), 'beta', 'itself');
select lo_unlink(:left_behind) \gset
\c :owner
select quantumflow.unenroll('beta') \gset
select expect((select count(*) from pg_roles where rolname = current_database() || '_beta'), 0::bigint, 'gone');
