\ir _queue.sql
-- sql/other_languages.md, block by block: each is what a program does, as a role of its own, and what the page says of it holds.
set search_path to public;
\set page ../../sql/other_languages.md
\getenv owner FLEET_CASE_URL
select current_database() || '_billing' as role, regexp_replace(:'owner', '//([^@/]*@)?', format('//%s_billing:secret@', current_database())) as program \gset
create function public.figures() returns text language sql as $$
  select (published_total, pending, retrying, dlq, consumed_total)::text from quantumflow.get_queue_stats('orders_queue') $$;
create function public.id_of(customer text, amount int) returns bigint language sql as $$
  select max(m.msg_id) from quantumflow.message m where m.body::jsonb @> jsonb_build_object('customer', customer, 'amount', amount) $$;
create table public.invoice (message_id bigint);
grant select, insert on public.invoice to centralcloud;

\set a_role_and_a_queue `./page_block.sh :'page' 1 :'role'`
\set subscribing `./page_block.sh :'page' 2`
\set publishing `./page_block.sh :'page' 3`
\set publishing_once `./page_block.sh :'page' 4`
\set taking `./page_block.sh :'page' 5`
\set beginning_one `./page_block.sh :'page' 6`
\set ending_one `./page_block.sh :'page' 7`
\set failing_one `./page_block.sh :'page' 8`
\set rejecting_one `./page_block.sh :'page' 9`
\set committing `./page_block.sh :'page' 10`
\set looking `./page_block.sh :'page' 11`
\set finding_channels `./page_block.sh :'page' 12`
\set listening `./page_block.sh :'page' 13`
\set lying_down `./page_block.sh :'page' 14`
\set getting_up `./page_block.sh :'page' 15`
\set blocks `./page_block.sh :'page' count`
select expect(:blocks, 15, 'all blocks of the page');

:a_role_and_a_queue
update quantumflow.queue set retry_delay_ms = 60000 where name = 'orders_queue';  -- on a slow machine, too, a retry is not due yet
\c :program
:subscribing
:subscribing
:publishing
:publishing_once
:publishing_once
select expect(figures(), '(3,3,0,0,0)', 'published once');
select expect(quantumflow.publish_once('shop 1', 0, 'orders_queue', array['{"customer": "c1"}']), '{}', 'a lower number');
select expect(figures(), '(3,3,0,0,0)', 'nothing');

-- Given back, then settled: one well, one to be tried again, one never right.
:taking
rollback;
select expect(figures(), '(3,3,0,0,0)', 'given back');
:taking
:beginning_one
insert into public.invoice values (id_of('c1', 3));
:ending_one
:beginning_one
insert into public.invoice values (id_of('c2', 2));
select id_of('c2', 2) as message_id \gset
:failing_one
:beginning_one
insert into public.invoice values (id_of('c1', 1));
select id_of('c1', 1) as message_id \gset
:rejecting_one
:committing
select expect(figures(), '(3,0,1,1,1)', 'done, failed, rejected');
select expect((select array_agg(message_id) from public.invoice), array[id_of('c1', 3)], 'what was written for it');

-- What follows the failed one waits behind it; others go on.
select quantumflow.publish('orders_queue', '{"customer": "c2", "amount": 4}'), quantumflow.publish('orders_queue', '{"customer": "c3", "amount": 5}') \gset
select expect((select string_agg(payload ->> 'customer', ' ') from quantumflow.take('orders_queue', 'billing')), 'c3', 'the other key');
select expect((select string_agg(concat_ws(' ', payload ->> 'amount', attempts), ', ' order by message_id) from quantumflow.list_pending_messages('orders_queue')), '2 1, 4 0', 'those that wait');
select expect(quantumflow.next_work_ms('orders_queue', 'billing') between 1 and 60000, true, 'until the retry is due');
:looking

begin isolation level repeatable read;
select raises('select * from quantumflow.take(''orders_queue'', ''billing'')', 'take: needs READ COMMITTED, this transaction is REPEATABLE READ');
rollback;

-- Sleeping.
:finding_channels
select * from quantumflow.wake_channels('orders_queue', 'billing') channel \gset
:listening
select expect((select array_agg(c) from pg_listening_channels() c), array[:'channel'], 'it listens');
create function pg_temp.flags() returns bigint language sql as $$
  select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid() and mode = 'ExclusiveLock' $$;
:lying_down
select expect(pg_temp.flags(), 1::bigint, 'its flag');
:getting_up
select expect(pg_temp.flags(), 0::bigint, 'lowered');

-- What the page says of the role.
select expect((select bool_and(has_function_privilege(:'role', f, 'execute')) from unnest('{quantumflow.purge_dlq(text),quantumflow.retry_dlq_message(bigint)}'::regprocedure[]) f), true, 'settles dead letters');
select expect(has_table_privilege(:'role', 'centralcloud.proposal', 'select'), true, 'reads');
select expect(has_table_privilege(:'role', 'centralcloud.audit_log', 'insert, update, delete'), false, 'changes no audit log');
select raises('select quantumflow.declare_queue(''another_queue'', ''lanes'', ''{a}'')', 'permission denied');
select count(*) from quantumflow.take('proposals_for_consensus_queue', 'centralcloud') \gset

-- A producer that was silent for a week is forgotten, and what it repeats is published again.
\c :owner
set search_path to public;
update quantumflow.producer_position set at = at - interval '6 days';
select quantumflow.trim_positions() \gset
:publishing_once
select expect(figures(), '(5,0,2,1,2)', 'not yet');
update quantumflow.producer_position set at = at - interval '1 day';
select quantumflow.trim_positions() \gset
:publishing_once
select expect(figures(), '(7,2,2,1,2)', 'again');
