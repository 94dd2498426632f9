-- Who keeps dead rows from being cleaned: for `doctor`, alerts and metrics.
set local role quantumflow_owner;

-- When which transaction ids had been given out: a row every ten seconds, for a day. What a replication slot or a standby holds
-- says which transaction it goes back to and not since when.
create table quantumflow.xid_clock (
  next_xid xid8 primary key,      -- all before it had begun
  at       timestamptz not null default clock_timestamp());
grant select on quantumflow.xid_clock to centralcloud, centralcloud_readonly;

create function quantumflow.tick_xid_clock() returns void language sql as $$
  insert into quantumflow.xid_clock (next_xid)
  select pg_snapshot_xmax(pg_current_snapshot())
   where not exists (select from quantumflow.xid_clock c where c.at > clock_timestamp() - interval '10 seconds')
  on conflict do nothing;
  delete from quantumflow.xid_clock c where c.at < clock_timestamp() - interval '1 day';
$$;

-- For how long at least the transaction has begun; null where the clock has not seen it begin. An xid counts modulo 2^32: it is
-- within 2^31 of the newest.
create function quantumflow.seconds_since(x xid) returns double precision language sql stable as $$
  select extract(epoch from clock_timestamp() - c.at)::double precision
    from (select pg_snapshot_xmax(pg_current_snapshot())::text::bigint) newest(n), quantumflow.xid_clock c
   where c.next_xid > (n - ((n - x::text::bigint + 2147483648) % 4294967296 - 2147483648))::text::xid8
   order by c.next_xid limit 1
$$;

-- Who holds a snapshot that this database's cleaning up must respect, and what ends it. kind: session, prepared_transaction,
-- replication_slot (which nobody reads, or a subscriber reads too slowly) or standby (by its feedback, with or without a slot).
-- Of a session that has written, its own transaction counts as well as what it can see. held_seconds: null where it is not known.
create function quantumflow.snapshot_holders()
returns table (kind text, holder text, held_seconds double precision, transactions bigint, remedy text) language sql stable as $$
  select 'session',
         format('session %s of role %s (%s, %s)', a.pid, a.usename, coalesce(nullif(a.application_name, ''), 'unnamed'), a.state),
         extract(epoch from clock_timestamp() - a.xact_start)::double precision,
         greatest(age(a.backend_xmin), age(a.backend_xid))::bigint, format('select pg_terminate_backend(%s)', a.pid)
    from pg_stat_activity a
   where a.datname = current_database() and a.pid <> pg_backend_pid() and a.backend_type = 'client backend'
     and (a.backend_xmin is not null or a.backend_xid is not null)
  union all
  select 'prepared_transaction', format('prepared transaction %L of role %s', p.gid, p.owner),
         extract(epoch from clock_timestamp() - p.prepared)::double precision, age(p.transaction)::bigint,
         format('rollback prepared %L', p.gid)
    from pg_prepared_xacts p where p.database = current_database()
  union all
  select 'standby', format('standby %s (walsender %s of role %s)', coalesce(nullif(a.application_name, ''), 'unnamed'), a.pid, a.usename),
         quantumflow.seconds_since(a.backend_xmin), age(a.backend_xmin)::bigint,
         'end what runs for long on the standby, or set its hot_standby_feedback to off'
    from pg_stat_activity a where a.backend_type = 'walsender' and a.backend_xmin is not null
  union all
  select case when s.active and s.slot_type = 'physical' then 'standby' else 'replication_slot' end,
         format('replication slot %s (%s)', s.slot_name, case when s.active then 'read by process ' || s.active_pid else 'nobody reads it' end),
         quantumflow.seconds_since(o.oldest), age(o.oldest)::bigint,
         case when not s.active then format('select pg_drop_replication_slot(%L)', s.slot_name)
              when s.slot_type = 'physical' then 'end what runs for long on the standby, or set its hot_standby_feedback to off'
              else 'let the subscriber catch up' end
    from pg_replication_slots s
    cross join lateral (select case when age(s.catalog_xmin) > coalesce(age(s.xmin), -1) then s.catalog_xmin else s.xmin end) o(oldest)
   where o.oldest is not null
$$;

-- The oldest of them; no row where there is none. An instance learns that there is one and its age, not whose it is.
create function quantumflow.oldest_snapshot(out holder text, out held_seconds numeric, out transactions bigint, out remedy text)
returns setof record language sql stable as $$
  select case when quantumflow.session_instance() is null then h.holder else 'a ' || replace(h.kind, '_', ' ') end,
         round(h.held_seconds::numeric, 1), h.transactions,
         case when quantumflow.session_instance() is null then h.remedy end
    from quantumflow.snapshot_holders() h order by h.transactions desc limit 1
$$;

-- What each kind of holder comes to, those included that hold none: the longest time, the most transactions, and who.
create function quantumflow.oldest_snapshots()
returns table (kind text, holder text, held_seconds double precision, transactions bigint) language sql stable as $$
  select k.kind, (array_agg(h.holder order by h.held_seconds desc nulls last, h.transactions desc))[1],
         coalesce(max(h.held_seconds), 0), coalesce(max(h.transactions), 0)
    from unnest('{session,prepared_transaction,replication_slot,standby}'::text[]) k(kind)
    left join quantumflow.snapshot_holders() h using (kind) group by k.kind
$$;

do $$
declare fn regprocedure;
begin
  foreach fn in array '{quantumflow.oldest_snapshot(),quantumflow.oldest_snapshots(),quantumflow.tick_xid_clock()}'::regprocedure[] loop
    execute format('alter function %s security definer set search_path = pg_catalog, pg_temp', fn);
    execute format('grant execute on function %s to centralcloud', fn);
  end loop;
end $$;
grant execute on function quantumflow.oldest_snapshot() to singularity_agent, centralcloud_readonly;
grant execute on function quantumflow.oldest_snapshots() to centralcloud_readonly;
