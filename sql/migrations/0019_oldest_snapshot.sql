-- Who keeps dead rows from being cleaned: for `doctor`, alerts and metrics.
set local role quantumflow_owner;

-- Who holds a snapshot that this database's cleaning up must respect, and what ends it. held_seconds is null for a replication
-- slot, which does not say since when.
create function quantumflow.snapshot_holders()
returns table (kind text, holder text, held_seconds double precision, transactions bigint, remedy text) language sql stable as $$
  select 'a session',
         format('session %s of role %s (%s, %s)', a.pid, a.usename, coalesce(nullif(a.application_name, ''), 'unnamed'), a.state),
         extract(epoch from clock_timestamp() - a.xact_start)::double precision, age(a.backend_xmin)::bigint,
         format('select pg_terminate_backend(%s)', a.pid)
    from pg_stat_activity a
   where a.datname = current_database() and a.pid <> pg_backend_pid() and a.backend_xmin is not null
     and a.backend_type = 'client backend'
  union all
  select 'a prepared transaction', format('prepared transaction %L of role %s', p.gid, p.owner),
         extract(epoch from clock_timestamp() - p.prepared)::double precision, age(p.transaction)::bigint,
         format('rollback prepared %L', p.gid)
    from pg_prepared_xacts p where p.database = current_database()
  union all
  select 'a replication slot', format('replication slot %s', s.slot_name), null, greatest(age(s.xmin), age(s.catalog_xmin))::bigint,
         format('select pg_drop_replication_slot(%L)', s.slot_name)
    from pg_replication_slots s where s.xmin is not null or s.catalog_xmin is not null
$$;

-- The oldest of them; no row where there is none. An instance learns that there is one and its age, not whose it is.
create function quantumflow.oldest_snapshot(out holder text, out held_seconds numeric, out transactions bigint, out remedy text)
returns setof record language sql stable as $$
  select case when quantumflow.session_instance() is null then h.holder else h.kind end, round(h.held_seconds::numeric, 1),
         h.transactions, case when quantumflow.session_instance() is null then h.remedy end
    from quantumflow.snapshot_holders() h order by h.transactions desc limit 1
$$;

alter function quantumflow.oldest_snapshot() security definer set search_path = pg_catalog, pg_temp;
grant execute on function quantumflow.oldest_snapshot() to singularity_agent, centralcloud, centralcloud_readonly;
