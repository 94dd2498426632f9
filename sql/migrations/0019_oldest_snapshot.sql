-- Who keeps dead rows from being cleaned: for `doctor`.
set local role quantumflow_owner;

-- The oldest snapshot that is held in this database; no row where none is. held_seconds is null for a replication slot, which
-- does not say since when. An instance learns that there is one and its age, not whose it is.
create function quantumflow.oldest_snapshot(out holder text, out held_seconds numeric, out transactions bigint, out remedy text)
returns setof record language sql stable as $$
  select case when quantumflow.session_instance() is null then h.holder else h.kind end,
         round(extract(epoch from clock_timestamp() - h.since)::numeric, 1), age(h.xmin)::bigint,
         case when quantumflow.session_instance() is null then h.remedy end
    from (select 'a session' as kind,
                 format('session %s of role %s (%s, %s)', a.pid, a.usename, coalesce(nullif(a.application_name, ''), 'unnamed'), a.state) as holder,
                 a.xact_start as since, a.backend_xmin as xmin, format('select pg_terminate_backend(%s)', a.pid) as remedy
            from pg_stat_activity a
           where a.backend_xmin is not null and a.pid <> pg_backend_pid()
             and a.datname = current_database()
          union all
          select 'a prepared transaction', format('prepared transaction %L of role %s', p.gid, p.owner), p.prepared, p.transaction,
                 format('rollback prepared %L', p.gid)
            from pg_prepared_xacts p where p.database = current_database()
          union all
          select 'a replication slot', format('replication slot %s', s.slot_name), null, s.xmin,
                 format('select pg_drop_replication_slot(%L)', s.slot_name)
            from pg_replication_slots s where s.xmin is not null) h
   order by age(h.xmin) desc limit 1
$$;

alter function quantumflow.oldest_snapshot() security definer set search_path = pg_catalog, pg_temp;
grant execute on function quantumflow.oldest_snapshot() to singularity_agent, centralcloud, centralcloud_readonly;
