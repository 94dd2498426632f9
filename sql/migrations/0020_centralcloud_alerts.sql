-- Alerts: what people are to be told of, while it lasts; who was told; and the figures that the rules look at. Several
-- coordinators share it: the row of an open alert is the hysteresis, so that it does not matter who looks at the figures,
-- and a notice is handed to one notifier at a time.
set local role quantumflow_owner;

-- ── Tables ─────────────────────────────────────────────────────────────────────────────────────────────────────────

--   (breached) ─▶ pending ─▶ active ─▶ cleared
--                    └─▶ (deleted: it did not last)
create table centralcloud.alert (
  alert_id      bigint generated always as identity primary key,
  name          text not null check (length(name) between 1 and 200),
  subject       text not null default '' check (length(subject) <= 400),  -- a queue, an instance, a proposal; '': the fleet
  severity      text not null check (severity in ('low', 'medium', 'high', 'critical')),
  text          text not null check (length(text) <= 2000),
  value         numeric,
  bound         numeric,
  first_seen_at timestamptz not null default clock_timestamp(),
  raised_at     timestamptz,       -- null: pending
  seen_at       timestamptz not null default clock_timestamp(),  -- last found to be so
  relieved_at   timestamptz,       -- found not to be so since then, not long enough to be cleared
  told_at       timestamptz,       -- of the last notice
  cleared_at    timestamptz,
  cleared_by    text,
  check (cleared_at is null or raised_at is not null));
create unique index alert_open on centralcloud.alert (name, subject) where cleared_at is null;
create index on centralcloud.alert (cleared_at desc) where cleared_at is not null;  -- recent ones, trimming

-- What there is to tell. Its id is what a receiver recognizes a repeated delivery by.
create table centralcloud.alert_notice (
  notice_id uuid primary key default gen_random_uuid(),
  place     bigint generated always as identity,  -- of an alert's notices, in the order in which they are told
  alert_id  bigint not null references centralcloud.alert on delete cascade,
  kind      text not null check (kind in ('raised', 'repeated', 'cleared')),
  at        timestamptz not null default clock_timestamp());
create index on centralcloud.alert_notice (alert_id);
create index on centralcloud.alert_notice (at);

-- How telling it went, by channel; made when a notifier of that channel first looks at the notice.
create table centralcloud.alert_delivery (
  notice_id       uuid not null references centralcloud.alert_notice on delete cascade,
  channel         text not null check (channel in ('command', 'webhook')),
  attempts        int not null default 0,
  next_attempt_at timestamptz not null default clock_timestamp(),  -- while one is under way: when it counts as lost
  settled_at      timestamptz,
  delivered       boolean,
  error           text,
  primary key (notice_id, channel),
  check ((settled_at is null) = (delivered is null)));
create index on centralcloud.alert_delivery (channel, next_attempt_at) where settled_at is null;

-- ── Raising and clearing ───────────────────────────────────────────────────────────────────────────────────────────

-- So many open alerts of a name are told of; more are there to be seen, and would bury the first ones.
create function centralcloud.told_alerts_of_a_name() returns int language sql immutable as $$ select 20 $$;

create function centralcloud.tell_of_alert(alert_id bigint, kind text) returns void language plpgsql as $$
declare a centralcloud.alert;
begin
  select * into a from centralcloud.alert t where t.alert_id = tell_of_alert.alert_id;
  if kind = 'raised' and (select count(*) from centralcloud.alert o
                           where o.name = a.name and o.told_at is not null and o.cleared_at is null)
                         >= centralcloud.told_alerts_of_a_name() then
    return;
  end if;
  -- What nobody was told of needs no all-clear either.
  if kind <> 'raised' and a.told_at is null then return; end if;
  insert into centralcloud.alert_notice (alert_id, kind) values (tell_of_alert.alert_id, tell_of_alert.kind);
  update centralcloud.alert t set told_at = clock_timestamp() where t.alert_id = tell_of_alert.alert_id;
end $$;

-- A condition was found to be so. It becomes an alert once it has lasted raise_after_ms. Answers raised (just now),
-- pending or standing.
create function centralcloud.observe_alert(name text, subject text, severity text, text text, value numeric, bound numeric,
                                           raise_after_ms bigint default 0) returns text language plpgsql as $$
#variable_conflict use_column
declare a centralcloud.alert;
begin
  insert into centralcloud.alert as o (name, subject, severity, text, value, bound)
  values (observe_alert.name, left(observe_alert.subject, 400), observe_alert.severity, left(observe_alert.text, 2000),
          observe_alert.value, observe_alert.bound)
  on conflict (name, subject) where cleared_at is null do update
     set seen_at = clock_timestamp(), relieved_at = null, severity = excluded.severity, text = excluded.text,
         value = excluded.value, bound = excluded.bound
  returning * into a;
  if a.raised_at is not null then return 'standing'; end if;
  if a.first_seen_at > clock_timestamp() - observe_alert.raise_after_ms * interval '1 millisecond' then return 'pending'; end if;
  update centralcloud.alert o set raised_at = clock_timestamp() where o.alert_id = a.alert_id;
  perform centralcloud.tell_of_alert(a.alert_id, 'raised');
  return 'raised';
end $$;

create function centralcloud.end_alert(alert_id bigint, cleared_by text) returns void language plpgsql as $$
begin
  update centralcloud.alert o set cleared_at = clock_timestamp(), cleared_by = end_alert.cleared_by
   where o.alert_id = end_alert.alert_id;
  perform centralcloud.tell_of_alert(end_alert.alert_id, 'cleared');
end $$;

-- A condition was found not to be so. Answers cleared (just now: it has been so for clear_after_ms), standing or none.
create function centralcloud.relieve_alert(name text, subject text, clear_after_ms bigint default 0) returns text
language plpgsql as $$
#variable_conflict use_column
declare a centralcloud.alert;
begin
  delete from centralcloud.alert o where o.name = relieve_alert.name and o.subject = relieve_alert.subject and o.raised_at is null;
  update centralcloud.alert o set relieved_at = coalesce(o.relieved_at, clock_timestamp())
   where o.name = relieve_alert.name and o.subject = relieve_alert.subject and o.cleared_at is null
  returning * into a;
  if not found then return 'none'; end if;
  if a.relieved_at > clock_timestamp() - relieve_alert.clear_after_ms * interval '1 millisecond' then return 'standing'; end if;
  perform centralcloud.end_alert(a.alert_id, 'centralcloud');
  return 'cleared';
end $$;

-- A condition is neither so nor clearly over: what had not lasted begins anew when it is so again, and what was about to be over
-- has to be so for the whole time again. Answers standing or none.
create function centralcloud.hold_alert(name text, subject text) returns text language plpgsql as $$
begin
  delete from centralcloud.alert o where o.name = hold_alert.name and o.subject = hold_alert.subject and o.raised_at is null;
  update centralcloud.alert o set relieved_at = null
   where o.name = hold_alert.name and o.subject = hold_alert.subject and o.cleared_at is null;
  return case when found then 'standing' else 'none' end;
end $$;

-- What the Guardian finds of a change: an alert at once, and for the record. False: it stands already.
create function centralcloud.raise_change_alert(name text, proposal_id text, severity text, text text, value numeric,
                                                bound numeric, detail jsonb) returns boolean language plpgsql as $$
begin
  perform centralcloud.audit('centralcloud', 'alert:' || raise_change_alert.name, raise_change_alert.proposal_id,
                             raise_change_alert.detail);
  return centralcloud.observe_alert(name, proposal_id, severity, text, value, bound) = 'raised';
end $$;

-- By a person, who has looked after it. False: no such alert stands.
create function centralcloud.clear_alert(alert_id bigint, actor text) returns boolean language plpgsql as $$
declare a centralcloud.alert;
begin
  select * into a from centralcloud.alert o
   where o.alert_id = clear_alert.alert_id and o.raised_at is not null and o.cleared_at is null for update;
  if not found then return false; end if;
  perform centralcloud.end_alert(a.alert_id, actor);
  perform centralcloud.audit(actor, 'alert_cleared', null,
    jsonb_build_object('alert_id', a.alert_id, 'name', a.name, 'subject', a.subject));
  return true;
end $$;

-- The open ones, with where the change stands that they are about: null, where they are about none.
create function centralcloud.open_alerts()
returns table (name text, subject text, change_state text, silent boolean) language sql stable as $$
  select a.name, a.subject, c.state, c.missing_alerted
    from centralcloud.alert a left join centralcloud.change c on c.proposal_id = a.subject
   where a.cleared_at is null order by a.alert_id limit 10000
$$;

create function centralcloud.count_active_alerts() returns table (name text, severity text, active bigint) language sql stable as $$
  select a.name, a.severity, count(*) from centralcloud.alert a where a.cleared_at is null and a.raised_at is not null group by 1, 2
$$;

-- Makes the notices of what has stood for another repeat_ms (0: never), and forgets what is old. Returns how many it made.
create function centralcloud.keep_alerts(repeat_ms bigint, keep interval default '30 days') returns bigint language plpgsql as $$
declare
  due bigint[] := '{}';
  one bigint;
begin
  if repeat_ms > 0 then
    -- Locked, so that two coordinators do not both tell.
    due := array(select a.alert_id from centralcloud.alert a
                  where a.cleared_at is null and a.told_at <= clock_timestamp() - repeat_ms * interval '1 millisecond'
                  order by a.told_at limit 1000 for update skip locked);
    foreach one in array due loop perform centralcloud.tell_of_alert(one, 'repeated'); end loop;
  end if;
  delete from centralcloud.alert a where a.alert_id in (
    select o.alert_id from centralcloud.alert o where o.cleared_at < clock_timestamp() - keep order by o.cleared_at limit 1000);
  delete from centralcloud.alert_notice n where n.notice_id in (
    select o.notice_id from centralcloud.alert_notice o where o.at < clock_timestamp() - keep limit 1000);
  return cardinality(due);
end $$;

-- ── Telling ────────────────────────────────────────────────────────────────────────────────────────────────────────

-- Where deploy/runbook.md says what to do about an alert: a section is headed by the alert's name without underscores.
create function centralcloud.runbook_of(name text) returns text language sql immutable as $$
  select 'deploy/runbook.md#' || case when runbook_of.name like '%\_breach' then 'breach' else replace(runbook_of.name, '_', '') end
$$;

-- The next notice that a notifier of the channel is to deliver; for lease_ms nobody else gets it. A notice that nobody
-- looked at for an hour (no notifier of the channel ran) is no news any more. Null: there is none.
create function centralcloud.take_alert_notice(channel text, lease_ms bigint) returns jsonb
language plpgsql set timezone = 'UTC' as $$
#variable_conflict use_column
declare
  d centralcloud.alert_delivery;
begin
  insert into centralcloud.alert_delivery (notice_id, channel)
  select n.notice_id, take_alert_notice.channel from centralcloud.alert_notice n
   where n.at > clock_timestamp() - interval '1 hour'
     and not exists (select from centralcloud.alert_delivery e
                      where e.notice_id = n.notice_id and e.channel = take_alert_notice.channel)
   order by n.place limit 100
  on conflict do nothing;
  update centralcloud.alert_delivery e
     set attempts = e.attempts + 1, next_attempt_at = clock_timestamp() + take_alert_notice.lease_ms * interval '1 millisecond'
   where (e.notice_id, e.channel) = (
     select w.notice_id, w.channel from centralcloud.alert_delivery w join centralcloud.alert_notice n using (notice_id)
      where w.channel = take_alert_notice.channel and w.settled_at is null and w.next_attempt_at <= clock_timestamp()
        -- Not before what was to be told of the same alert earlier: an all-clear that comes first leaves a receiver alarmed for good.
        and not exists (select from centralcloud.alert_notice b join centralcloud.alert_delivery e using (notice_id)
                         where b.alert_id = n.alert_id and b.place < n.place and e.channel = w.channel and e.settled_at is null)
      order by w.next_attempt_at, n.place limit 1 for update of w skip locked)
  returning * into d;
  if not found then return null; end if;
  return (
    select jsonb_build_object('notice_id', n.notice_id, 'kind', n.kind, 'at', n.at, 'alert_id', a.alert_id, 'name', a.name,
             'severity', a.severity, 'subject', nullif(a.subject, ''), 'text', a.text, 'value', a.value, 'bound', a.bound,
             'since', a.raised_at, 'cleared_at', a.cleared_at, 'runbook', centralcloud.runbook_of(a.name), 'attempt', d.attempts,
             'open_of_this_name', (select count(*) from centralcloud.alert o
                                    where o.name = a.name and o.raised_at is not null and o.cleared_at is null))
      from centralcloud.alert_notice n join centralcloud.alert a using (alert_id) where n.notice_id = d.notice_id);
end $$;

-- How the attempt went. retry_ms: when to try again; null: it is settled, delivered or given up.
create function centralcloud.settle_alert_notice(notice_id uuid, channel text, delivered boolean, error text, retry_ms bigint)
returns void language sql as $$
  update centralcloud.alert_delivery d
     set error = left(settle_alert_notice.error, 2000),
         settled_at = case when settle_alert_notice.retry_ms is null then clock_timestamp() end,
         delivered = case when settle_alert_notice.retry_ms is null then settle_alert_notice.delivered end,
         next_attempt_at = clock_timestamp() + coalesce(settle_alert_notice.retry_ms, 0) * interval '1 millisecond'
   where d.notice_id = settle_alert_notice.notice_id and d.channel = settle_alert_notice.channel and d.settled_at is null
$$;

-- An alert that is over at once, to see that telling works. Returns the notice of its raising.
create function centralcloud.test_alert(actor text) returns uuid language plpgsql as $$
declare
  about text := gen_random_uuid()::text;  -- so that it meets no other test
  id bigint;
begin
  perform centralcloud.observe_alert('test', about, 'low', format('a test of the alerts, asked for by %s', actor), null, null);
  select a.alert_id into id from centralcloud.alert a where a.name = 'test' and a.subject = about;
  perform centralcloud.end_alert(id, actor);
  return (select n.notice_id from centralcloud.alert_notice n where n.alert_id = id and n.kind = 'raised');
end $$;

create function centralcloud.alert_deliveries(notice_id uuid)
returns table (channel text, attempts int, settled boolean, delivered boolean, error text) language sql stable as $$
  select d.channel, d.attempts, d.settled_at is not null, coalesce(d.delivered, false), d.error
    from centralcloud.alert_delivery d where d.notice_id = alert_deliveries.notice_id order by d.channel
$$;

-- ── Figures ────────────────────────────────────────────────────────────────────────────────────────────────────────

-- One row, and no count over a backlog: small or indexed tables, and the catalogue.
-- An instance that was silent for longer than forgotten_ms is gone, and counts nowhere.
create function centralcloud.fleet_figures(fresh_ms bigint, forgotten_ms bigint default 7 * 86400000::bigint)
returns table (live_instances bigint, silent_instances bigint, open_votes bigint, watched_changes bigint, log_bytes bigint,
               held_seconds double precision, held_by text) language sql stable as $$
  with instances as (
    select count(*) filter (where i.last_seen_at > clock_timestamp() - fresh_ms * interval '1 millisecond') as live, count(*) as n
      from centralcloud.instance i where i.last_seen_at > clock_timestamp() - forgotten_ms * interval '1 millisecond'),
  held as (
    select sum(s.bytes)::bigint as bytes, max(s.held_seconds) as seconds,
           (array_agg(s.held_by order by s.held_seconds desc nulls last))[1] as by
      from quantumflow.segments() s)
  select instances.live, instances.n - instances.live,
         (select count(*) from centralcloud.proposal p where p.state = 'voting'),
         (select count(*) from centralcloud.change c where c.state = 'watching'),
         coalesce(held.bytes, 0), coalesce(held.seconds, 0), held.by
    from instances cross join held
$$;

-- Instances that need a look: silent for longer than silent_ms (and less than forgotten_ms: after that they are gone), or
-- with messages set aside for them because they read too slowly. All of them: the alert of one that is left out would be cleared.
create function centralcloud.troubled_instances(silent_ms bigint, forgotten_ms bigint, max int default 10000)
returns table (instance_id text, silent_seconds double precision, backlog bigint) language sql stable as $$
  with backlogs as (
    select c.consumer_group as instance_id, sum(p.backlog_put - p.backlog_taken)::bigint as n
      from quantumflow.cursor c join quantumflow.stream s using (stream_id)
      cross join lateral (select t.* from quantumflow.cursor_position t where t.cursor_id = c.cursor_id
                           order by t.cursor_id desc, t.seq desc limit 1) p
     where s.lane is null and c.retired_at is null group by 1 having sum(p.backlog_put - p.backlog_taken) > 0)
  select i.instance_id, extract(epoch from clock_timestamp() - i.last_seen_at)::double precision, coalesce(b.n, 0)
    from centralcloud.instance i left join backlogs b using (instance_id)
   where i.last_seen_at > clock_timestamp() - forgotten_ms * interval '1 millisecond'
     and (i.last_seen_at < clock_timestamp() - silent_ms * interval '1 millisecond' or b.n > 0)
   order by i.last_seen_at limit troubled_instances.max
$$;

-- Changes that are to be taken back, and of which nothing has been heard since. All of them, as above.
create function centralcloud.pending_rollbacks(max int default 10000)
returns table (proposal_id text, instance_id text, pending_seconds double precision) language sql stable as $$
  select r.proposal_id, r.instance_id, extract(epoch from clock_timestamp() - r.triggered_at)::double precision
    from centralcloud.rollback r where r.outcome = 'pending' order by r.triggered_at limit pending_rollbacks.max
$$;

-- ── For people ─────────────────────────────────────────────────────────────────────────────────────────────────────

-- Those that stand, worst and oldest first; with `recent`, then those that were cleared, latest first.
create function centralcloud.list_alerts(recent boolean default false, max int default 100) returns setof jsonb
language sql stable set timezone = 'UTC' as $$
  select jsonb_build_object('alert_id', a.alert_id, 'name', a.name, 'severity', a.severity,
           'state', case when a.cleared_at is null then 'active' else 'cleared' end, 'since', a.raised_at, 'text', a.text,
           'value', a.value, 'bound', a.bound, 'subject', nullif(a.subject, ''), 'runbook', centralcloud.runbook_of(a.name),
           'seen_at', a.seen_at, 'cleared_at', a.cleared_at, 'cleared_by', a.cleared_by)
    from centralcloud.alert a
   where a.raised_at is not null and (a.cleared_at is null or list_alerts.recent)
   order by a.cleared_at desc nulls first, array_position('{critical,high,medium,low}'::text[], a.severity), a.raised_at, a.alert_id
   limit list_alerts.max
$$;
comment on function centralcloud.list_alerts is 'What people are to be told of, while it lasts; with `recent`, also what was cleared within 30 days.';

-- ── Who may call what (as in 0018) ─────────────────────────────────────────────────────────────────────────────────

grant select on centralcloud.alert, centralcloud.alert_notice, centralcloud.alert_delivery to centralcloud, centralcloud_readonly;
do $$
declare
  entry record;
  fn regprocedure;
begin
  for entry in
    select n.name, g.roles from (values
      ('centralcloud', 'observe_alert relieve_alert hold_alert raise_change_alert clear_alert open_alerts count_active_alerts keep_alerts
                        take_alert_notice settle_alert_notice fleet_figures troubled_instances pending_rollbacks test_alert alert_deliveries'),
      ('centralcloud, centralcloud_readonly', 'list_alerts')
    ) g(roles, names) cross join lateral regexp_split_to_table(g.names, '\s+') n(name)
  loop
    for fn in select p.oid from pg_proc p where p.pronamespace = 'centralcloud'::regnamespace and p.proname = entry.name loop
      execute format('alter function %s security definer set search_path = pg_catalog, pg_temp', fn);
      execute format('grant execute on function %s to %s', fn, entry.roles);
    end loop;
    if not found then raise exception 'there is no function centralcloud.% to grant', entry.name; end if;
  end loop;
end $$;
