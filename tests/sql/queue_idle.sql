\ir _queue.sql
-- Who looks and finds nothing leaves nothing behind: no transaction id, which would age the cluster with every look, and no lock.
create extension if not exists dblink schema public;
\getenv url FLEET_CASE_URL
select public.dblink_connect('other', :'url') \gset
select public.dblink_exec('other', 'set search_path to quantumflow, public') \gset
create function public.leaves(statement text) returns text language plpgsql as $$
declare rows bigint; locks text;
begin
  execute format('select count(x) from (%s) looked(x)', statement) into rows;
  select string_agg(format('%s %s %s', l.locktype, l.mode, l.classid), ', ') into locks from pg_locks l
   where l.pid = pg_backend_pid() and (l.locktype = 'advisory' or l.locktype = 'transactionid' or l.mode <> 'AccessShareLock')
     and l.locktype <> 'virtualxid';
  return concat_ws(', ', case when rows > 0 then rows || ' row(s)' end, case when pg_current_xact_id_if_assigned() is not null then 'an xid' end, locks);
end $$;
\set take 'select m.message_id from quantumflow.take(''proposals_for_consensus_queue'', ''centralcloud'') m'
\set take_lane 'select m.message_id from quantumflow.take_lane(''proposals_for_consensus_queue'', ''centralcloud'', 100) m'
\set look 'select nullif(quantumflow.next_work_ms(''proposals_for_consensus_queue'', ''centralcloud''), 0)'
create function public.leave_nothing(takes text, lanes text, looks text, what text) returns void language plpgsql as $$
begin
  perform public.expect(public.leaves(s), '', what || ': ' || s) from unnest(array[takes, lanes, looks]) s;
end $$;

select public.leave_nothing(:'take', :'take_lane', :'look', 'nothing was ever published');

-- Something is seen where there is something.
select publish('proposals_for_consensus_queue', '{"proposal_id": "p"}') \gset
begin;
select expect(public.leaves(:'take') like '1 row(s), an xid, %advisory ExclusiveLock 1902671%', true, 'a take that takes');
commit;
select public.leave_nothing(:'take', :'take_lane', :'look', 'all was taken');

-- Another session is about to publish.
select public.dblink_exec('other', 'begin') \gset
select n from public.dblink('other', $$select publish('proposals_for_consensus_queue', '{"proposal_id": "p"}')$$) t(n bigint) \gset
select public.leave_nothing(:'take', :'take_lane', :'look', 'not committed yet');
select public.dblink_exec('other', 'rollback') \gset
select public.leave_nothing(:'take', :'take_lane', :'look', 'never committed');

-- Another session has all of it in hand.
select publish('proposals_for_consensus_queue', '{"proposal_id": "p"}') \gset
select public.dblink_exec('other', 'begin') \gset
select n from public.dblink('other', 'select count(*) from (' || :'take' || ') t') t(n bigint) \gset
select expect(public.leaves(:'take'), '', 'in another''s hand');
select public.dblink_exec('other', 'commit') \gset

-- What failed waits for its time.
select publish('proposals_for_consensus_queue', '{"proposal_id": "p"}') as failing \gset
begin;
select count(*) from take('proposals_for_consensus_queue', 'centralcloud') \gset
select fail(:failing, 'why', 3, 60000) \gset
commit;
select expect(public.leaves(:'take'), '', 'a retry that is not due');
select expect(public.leaves(:'take_lane'), '', 'a retry that is not due, of a lane');
select expect(public.leaves('select ' || quote_literal('x') || ' where quantumflow.next_work_ms(''proposals_for_consensus_queue'', ''centralcloud'') < 1000'), '', 'when it is due');
