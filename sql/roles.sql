-- For an administrator, where the role that runs `centralcloud_daemon migrate` may not make roles (it is neither superuser nor
-- CREATEROLE):
--   psql -v migrator=ROLE -f roles.sql
-- Safe to repeat. Roles belong to the cluster: once is enough for all its databases. `enroll` also needs CREATEROLE.
\set ON_ERROR_STOP on
select format('create role %I nologin', name)
  from unnest('{quantumflow_owner,centralcloud,centralcloud_readonly,singularity_agent}'::text[]) name
 where not exists (select from pg_roles where rolname = name) \gexec
grant quantumflow_owner to :"migrator";
-- So that rotation can name who holds a segment of the log for long.
grant pg_read_all_stats to quantumflow_owner;
