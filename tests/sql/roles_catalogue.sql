\ir _queue.sql
set search_path to public;
-- What every object of ours must be, found in the catalogue: a migration that forgets it is caught here.
create temp view ours as select oid as schema from pg_namespace where nspname in ('quantumflow', 'singularity', 'centralcloud');
-- schema_migration and its function are made by `migrate` and given to the owner with the rest.
select expect((select string_agg(kind || ' ' || name || ' of ' || owner::regrole, ', ') from (
    select 'schema', nspname::text, nspowner from pg_namespace join ours on schema = oid
    union all select 'relation', oid::regclass::text, relowner from pg_class join ours on schema = relnamespace
    union all select 'function', oid::regprocedure::text, proowner from pg_proc join ours on schema = pronamespace
    union all select 'type', oid::regtype::text, typowner from pg_type join ours on schema = typnamespace) o(kind, name, owner)
  where owner <> 'quantumflow_owner'::regrole), null, 'everything has one owner');
select expect((select string_agg(name || ' ' || privilege_type, ', ') from (
    select nspname::text, nspacl, 'n'::"char", nspowner from pg_namespace join ours on schema = oid
    union all select oid::regclass::text, relacl, case relkind when 'S' then 's' else 'r' end::"char", relowner
                from pg_class join ours on schema = relnamespace where relkind in ('r', 'v', 'S')
    union all select oid::regprocedure::text, proacl, 'f', proowner from pg_proc join ours on schema = pronamespace) o(name, acl, kind, owner)
    cross join lateral aclexplode(coalesce(acl, acldefault(kind, owner)))
  where grantee = 0), null, 'PUBLIC has nothing');
select expect((select string_agg(oid::regprocedure::text, ', ') from pg_proc join ours on schema = pronamespace
  where prosecdef <> (coalesce(proconfig @> '{"search_path=pg_catalog, pg_temp"}', false))), null, 'definer functions, and they alone, fix the search_path');
-- Whoever calls it without the owner's rights calls it with its own.
select expect((select string_agg(oid::regprocedure::text, ', ' order by proname) from pg_proc join ours on schema = pronamespace
    where not prosecdef and exists (select from aclexplode(proacl) a where a.grantee <> proowner)),
  'quantumflow.beginning(), quantumflow.schema_version(), quantumflow.session_instance(), quantumflow.unclaimed(), quantumflow.wake_channel(integer)', 'granted without being a definer');
select expect((select string_agg(oid::regclass::text, ', ') from pg_class join ours on schema = relnamespace
  where relkind = 'r' and not relrowsecurity and has_table_privilege('singularity_agent', oid, 'select')), 'quantumflow.schema_migration', 'what an instance reads whole');

-- A later migration works as the owner, and what it makes is nobody's until it is granted.
set role quantumflow_owner;
create function quantumflow.later() returns int language sql as 'select 1';
select expect(has_function_privilege('centralcloud', 'quantumflow.later()', 'execute'), false, 'no default grant');
