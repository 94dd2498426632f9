-- After a logical restore. The xids of messages and the snapshots of cursors belong to the cluster that gave them out: in another
-- one they are in the future, or stand for other transactions. A crash, a failover or a physical restore keeps the cluster's
-- identifier, on every timeline; pg_upgrade gives a new one although xids go on: there a rebase is not needed, and does no harm.

create table quantumflow.origin (
  only_row          boolean primary key default true check (only_row),
  system_identifier bigint not null,
  rebased_at        timestamptz);
insert into quantumflow.origin (system_identifier) select system_identifier from pg_control_system();

-- Whether the xids in the queue's tables are this cluster's. Daemons refuse to run where not.
create function quantumflow.is_at_home() returns boolean language sql stable as $$
  select o.system_identifier = c.system_identifier from quantumflow.origin o, pg_control_system() c
$$;

-- Moves what one cursor has not read, in the terms of the cluster that it comes from, to its backlog, in order, and starts it at
-- the present. Messages that were published here before the rebase (their own xid wrote them) come last.
create function quantumflow.rebase_cursor(c quantumflow.position) returns bigint language plpgsql as $$
declare moved bigint;
begin
  with unread as (
    select m.*, row_number() over (order by m.published_here, m.xid, m.msg_id) as place
      from (select t.*, t.xmin = t.xid::xid as published_here from quantumflow.message_0 t union all
            select t.*, t.xmin = t.xid::xid from quantumflow.message_1 t union all
            select t.*, t.xmin = t.xid::xid from quantumflow.message_2 t) m
     where m.stream_id = c.stream_id and c.retired_at is null
       and (m.published_here
            or (not pg_visible_in_snapshot(m.xid, c.done)
                and (c.win is null or not pg_visible_in_snapshot(m.xid, c.win) or (m.xid, m.msg_id) > (c.pos_xid, c.pos_id))))),
  newest as (
    select p.* from quantumflow.cursor_position p where p.cursor_id = c.cursor_id order by p.seq desc limit 1),
  kept as (
    insert into quantumflow.backlog (cursor_id, seq, xid, msg_id, enqueued_at, body)
    select p.cursor_id, p.backlog_put + u.place, '1', u.msg_id, u.enqueued_at, u.body from unread u, newest p),
  position as (
    insert into quantumflow.cursor_position (cursor_id, seq, done, backlog_put, backlog_taken, taken, taken_at)
    select p.cursor_id, p.seq + 1, pg_current_snapshot(), p.backlog_put + (select count(*) from unread), p.backlog_taken,
           p.taken, p.taken_at
      from newest p)
  select count(*) into moved from unread;
  return moved;
end $$;

-- Re-stamps all that is pending, in order; returns how many messages of all readers that is. Does nothing at home. The log is
-- emptied into backlogs, so nothing is left whose place depends on a foreign xid; in the tables of failures, where a
-- message's xid only orders it, all become the lowest: among themselves they are ordered by message id, as they were published.
create function quantumflow.rebase() returns bigint language plpgsql as $$
declare
  s record;
  c quantumflow.position;
  pending bigint := 0;
begin
  perform quantumflow.check_isolation('rebase');
  if quantumflow.is_at_home() then return 0; end if;
  lock table quantumflow.counted, quantumflow.stream, quantumflow.cursor, quantumflow.cursor_position, quantumflow.message_0, quantumflow.message_1,
    quantumflow.message_2, quantumflow.backlog, quantumflow.retry, quantumflow.dead_letter in access exclusive mode;
  for s in select t.stream_id from quantumflow.stream t
            where t.lane is not null and not exists (select from quantumflow.cursor r where r.stream_id = t.stream_id)
              and exists (select from quantumflow.message m where m.stream_id = t.stream_id)
  loop
    perform quantumflow.add_cursor(s.stream_id, quantumflow.unclaimed(), true);
  end loop;
  for c in select * from quantumflow.position p where p.cursor_id is not null order by p.cursor_id loop
    pending := pending + quantumflow.rebase_cursor(c);
  end loop;
  delete from quantumflow.cursor_position p
   where p.seq < (select max(n.seq) from quantumflow.cursor_position n where n.cursor_id = p.cursor_id);
  delete from quantumflow.retry r where r.taken_by is not null;
  update quantumflow.retry set xid = '1';
  update quantumflow.dead_letter set xid = '1';
  update quantumflow.backlog set xid = '1' where xid <> '1';
  insert into quantumflow.stream_count as t (stream_id, n)
  select m.stream_id, count(*) from (
      select t.stream_id, t.xid, t.xmin from quantumflow.message_0 t union all
      select t.stream_id, t.xid, t.xmin from quantumflow.message_1 t union all
      select t.stream_id, t.xid, t.xmin from quantumflow.message_2 t) m, quantumflow.counted seen
   where m.xmin = m.xid::xid or not pg_visible_in_snapshot(m.xid, seen.upto) group by 1
    on conflict (stream_id) do update set n = t.n + excluded.n;
  update quantumflow.counted set upto = quantumflow.snapshot_without_own();
  truncate quantumflow.message_0, quantumflow.message_1, quantumflow.message_2, quantumflow.xid_clock;
  update quantumflow.segment set closed_at = null, truncated_at = clock_timestamp(), held_by = null, held_since = null;
  update quantumflow.origin set rebased_at = clock_timestamp(),
    system_identifier = (select system_identifier from pg_control_system());
  perform centralcloud.audit(session_user, 'rebase', null, jsonb_build_object('pending_messages', pending));
  return pending;
end $$;
comment on function quantumflow.rebase is
  'After pg_dump and restore into another cluster: gives all that is pending a place in terms of this one. `centralcloud_daemon migrate --rebase` calls it.';
