\ir _queue.sql
set search_path to public;
-- An alert while its condition lasts; who is told, and how often.
create function observe(name text, subject text, raise_after_ms bigint default 0) returns text language sql as
  $$ select centralcloud.observe_alert(name, subject, 'high', 'text of ' || subject, 12, 10, raise_after_ms) $$;
create function told() returns text language sql as
  $$ select coalesce(string_agg(a.subject || ' ' || n.kind, ', ' order by n.at), '') from centralcloud.alert_notice n join centralcloud.alert a using (alert_id) $$;

-- Hysteresis.
select expect(observe('dead_letters', 'q'), 'raised', 'at once');
select expect(observe('dead_letters', 'q'), 'standing', 'one alert however often it is found');
select expect((select count(*)::int from centralcloud.alert), 1, 'one row');
select expect(centralcloud.relieve_alert('dead_letters', 'q', 60000), 'standing', 'it has to be over for a while');
select expect(observe('dead_letters', 'q'), 'standing', 'back before that: the same alert');
select expect((select relieved_at is null from centralcloud.alert), true, 'and the while begins anew');
select expect(told(), 'q raised', 'so nobody hears of it again');
select expect(centralcloud.relieve_alert('dead_letters', 'q', 0), 'cleared', 'over');
select expect(centralcloud.relieve_alert('dead_letters', 'q', 0), 'none', 'once');
select expect(told(), 'q raised, q cleared', 'and told');
select expect(observe('dead_letters', 'q'), 'raised', 'the next time is another alert');
select expect((select count(*)::int from centralcloud.alert), 2, 'two rows');

-- Between its bounds: neither what counts up to raising it nor what counts up to clearing it goes on.
delete from centralcloud.alert where cleared_at is not null;
select expect(centralcloud.relieve_alert('dead_letters', 'q', 60000), 'standing', 'about to be over');
select expect(centralcloud.hold_alert('dead_letters', 'q'), 'standing', 'not quite');
select expect((select relieved_at is null from centralcloud.alert where name = 'dead_letters'), true, 'the while begins anew');
select expect(observe('queue_latency', 'held', 60000), 'pending', 'a peak');
select expect(centralcloud.hold_alert('queue_latency', 'held'), 'none', 'it did not last');
update centralcloud.alert set first_seen_at = first_seen_at - interval '2 minutes' where subject = 'held';
select expect(observe('queue_latency', 'held', 60000), 'pending', 'nor does another peak later');
delete from centralcloud.alert where subject = 'held';
select centralcloud.relieve_alert('dead_letters', 'q', 0);
select observe('dead_letters', 'q');

-- What must last first.
select expect(observe('queue_latency', 'q', 60000), 'pending', 'not yet');
select expect((select count(*)::int from centralcloud.list_alerts()), 1, 'a pending one is not shown');
select expect(centralcloud.relieve_alert('queue_latency', 'q', 60000), 'none', 'over before it was an alert');
select expect((select count(*)::int from centralcloud.alert where name = 'queue_latency'), 0, 'nothing is left');
select expect(observe('queue_latency', 'q', 60000), 'pending', 'again');
update centralcloud.alert set first_seen_at = first_seen_at - interval '2 minutes' where name = 'queue_latency';
select expect(observe('queue_latency', 'q', 60000), 'raised', 'it lasted');

-- A person clears it; its cause raises it again.
select centralcloud.clear_alert(alert_id, 'ann') from centralcloud.alert where name = 'queue_latency' \gset
select expect(:'clear_alert'::boolean, true, 'cleared');
select expect((select cleared_by from centralcloud.alert where name = 'queue_latency'), 'ann', 'by whom');
select expect((select actor || ' ' || action from centralcloud.audit_entries order by audit_id desc limit 1), 'ann alert_cleared', 'and on record');
select expect(centralcloud.clear_alert(-1, 'ann'), false, 'no such alert');
select expect((select string_agg(a ->> 'name' || ' ' || (a ->> 'state'), ', ') from centralcloud.list_alerts(true) a), 'dead_letters active, queue_latency cleared, dead_letters cleared', 'standing first, then the latest');

-- Repeated, and not before its time.
delete from centralcloud.alert;
select observe('old_snapshot', '');
select expect(centralcloud.keep_alerts(60000)::int, 0, 'too early');
select expect(centralcloud.keep_alerts(0)::int, 0, 'never');
update centralcloud.alert set told_at = told_at - interval '2 minutes';
select expect(centralcloud.keep_alerts(60000)::int, 1, 'again');
select expect(centralcloud.keep_alerts(60000)::int, 0, 'once an interval');
select expect(told(), ' raised,  repeated', 'told twice');

-- A flood: the first are told of, all are there.
delete from centralcloud.alert;
select expect((select count(*) filter (where observe('metrics_missing', 'p' || i) = 'raised')::int from generate_series(1, 500) i), 500, 'all are raised');
select expect((select count(*)::int from centralcloud.alert_notice), 20, 'some are told of');
select expect((select count(*) filter (where centralcloud.relieve_alert('metrics_missing', 'p' || i) = 'cleared')::int from generate_series(1, 500) i), 500, 'all are cleared');
select expect((select count(*) filter (where kind = 'cleared')::int from centralcloud.alert_notice), 20, 'an all-clear for those that were told of');

-- Delivery: one at a time, again after a failure, settled once.
delete from centralcloud.alert;
select observe('dead_letters', 'q');
select centralcloud.take_alert_notice('command', 60000) as first \gset
select expect(:'first'::jsonb ->> 'text', 'text of q', 'what happened');
select expect(:'first'::jsonb ->> 'kind', 'raised', 'raised');
select expect(:'first'::jsonb ->> 'runbook', 'deploy/runbook.md#deadletters', 'what to do');
select expect((select a ->> 'runbook' from centralcloud.list_alerts() a), 'deploy/runbook.md#deadletters', 'in the list, too');
select expect(centralcloud.runbook_of('error_rate_breach'), 'deploy/runbook.md#breach', 'one section for all breaches');
select expect(centralcloud.take_alert_notice('command', 60000), null, 'somebody has it');
select expect(centralcloud.take_alert_notice('webhook', 60000) ->> 'notice_id', :'first'::jsonb ->> 'notice_id', 'each channel has its own');
select centralcloud.settle_alert_notice((:'first'::jsonb ->> 'notice_id')::uuid, 'command', false, 'exit code 1', 0);
select expect(centralcloud.take_alert_notice('command', 60000) ->> 'attempt', '2', 'again');
select centralcloud.settle_alert_notice((:'first'::jsonb ->> 'notice_id')::uuid, 'command', true, null, null);
select expect(centralcloud.take_alert_notice('command', 60000), null, 'delivered');
-- The coordinator that had it died.
update centralcloud.alert_delivery set next_attempt_at = clock_timestamp() where channel = 'webhook';
select expect(centralcloud.take_alert_notice('webhook', 60000) ->> 'attempt', '2', 'another takes it');
-- In order: an all-clear does not overtake the news that it is about, however long that has to wait.
delete from centralcloud.alert;
select observe('dead_letters', 'q');
select centralcloud.take_alert_notice('webhook', 60000) as first \gset
select centralcloud.settle_alert_notice((:'first'::jsonb ->> 'notice_id')::uuid, 'webhook', false, 'status 502', 60000);
select centralcloud.relieve_alert('dead_letters', 'q', 0);
select observe('dead_letters', 'other');
select expect(centralcloud.take_alert_notice('webhook', 60000) ->> 'subject', 'other', 'what another alert says does not wait');
select expect(centralcloud.take_alert_notice('webhook', 60000), null, 'the all-clear does');
update centralcloud.alert_delivery set next_attempt_at = clock_timestamp() where notice_id = (:'first'::jsonb ->> 'notice_id')::uuid;
select expect(centralcloud.take_alert_notice('webhook', 60000) ->> 'kind', 'raised', 'its turn');
select expect(centralcloud.take_alert_notice('webhook', 60000), null, 'under way');
select centralcloud.settle_alert_notice((:'first'::jsonb ->> 'notice_id')::uuid, 'webhook', true, null, null);
select expect(centralcloud.take_alert_notice('webhook', 60000) ->> 'kind', 'cleared', 'and then the other');
-- Old news.
delete from centralcloud.alert;
select observe('dead_letters', 'q');
update centralcloud.alert_notice set at = at - interval '2 hours';
select expect(centralcloud.take_alert_notice('command', 60000), null, 'nobody could be told in time');

-- A test is told of like any other alert, and is over.
delete from centralcloud.alert;
select centralcloud.test_alert('ann') as test \gset
select expect(told() like '% raised, % cleared', true, 'both');
select expect(centralcloud.take_alert_notice('command', 60000) ->> 'notice_id', :'test', 'the first of them');
select expect((select channel || ' ' || attempts || ' ' || settled from centralcloud.alert_deliveries(:'test')), 'command 1 false', 'under way');
select expect(centralcloud.test_alert('ann') is not null, true, 'another');

-- What is old is forgotten.
delete from centralcloud.alert;
select observe('dead_letters', 'q');
select centralcloud.relieve_alert('dead_letters', 'q');
update centralcloud.alert set cleared_at = cleared_at - interval '31 days';
select centralcloud.keep_alerts(0);
select expect((select count(*)::int from centralcloud.alert), 0, 'forgotten');

-- Figures: an open transaction shows with its age and who has it.
select expect((select string_agg(kind, ' ' order by kind) from quantumflow.oldest_snapshots()), 'prepared_transaction replication_slot session standby', 'every kind, also where there is none');
select expect((select max(held_seconds) filter (where kind = 'session') from quantumflow.oldest_snapshots()) < 1, true, 'nobody holds a snapshot');
create extension if not exists dblink schema public;
\getenv url FLEET_CASE_URL
select dblink_connect('other', :'url') \gset
select dblink_exec('other', 'set application_name = ''the culprit''') \gset
select dblink_exec('other', 'begin isolation level repeatable read') \gset
select n from dblink('other', 'select 1') t(n int) \gset
select pg_sleep(0.01) \gset
select expect((select held_seconds between 0.01 and 60 from quantumflow.oldest_snapshots() where kind = 'session'), true, 'somebody does');
select expect((select holder like 'session % (the culprit, idle in transaction)' from quantumflow.oldest_snapshots() where kind = 'session'), true, 'and is named');
select expect((select transactions >= 0 from quantumflow.oldest_snapshots() where kind = 'session'), true, 'with its age');
select dblink_exec('other', 'rollback') \gset
-- One that has written and sees nothing at the moment holds up cleaning just as well.
select dblink_exec('other', 'create table public.written (n int)') \gset
select dblink_exec('other', 'begin') \gset
select dblink_exec('other', 'insert into public.written values (1)') \gset
select expect((select holder like 'session % (the culprit, idle in transaction)' from quantumflow.oldest_snapshots() where kind = 'session'), true, 'a writer is named, too');
select dblink_disconnect('other') \gset

-- The clock of transaction ids: a row at most every ten seconds, forgotten after a day.
select quantumflow.tick_xid_clock();
select quantumflow.tick_xid_clock();
select expect((select count(*)::int from quantumflow.xid_clock), 1, 'one');
create function xid_now() returns xid8 language sql volatile as 'select pg_current_xact_id()';
select xid_now() as seen \gset
select expect(quantumflow.seconds_since(:'seen'::xid8::xid), null::double precision, 'not seen to begin');
update quantumflow.xid_clock set at = at - interval '30 seconds';
select quantumflow.tick_xid_clock();
select expect((select count(*)::int from quantumflow.xid_clock), 2, 'the next');
select expect(quantumflow.seconds_since(:'seen'::xid8::xid) between 0 and 20, true, 'seen to have begun by then');
select expect(quantumflow.seconds_since('3') between 30 and 50, true, 'begun before the first');
update quantumflow.xid_clock set at = at - interval '1 day';
select quantumflow.tick_xid_clock();
select expect((select count(*)::int from quantumflow.xid_clock), 1, 'forgotten');

-- Instances.
select centralcloud.heartbeat(i, '1', '{voter}') from unnest('{a,b,c}'::text[]) i;
update centralcloud.instance set last_seen_at = clock_timestamp() - interval '10 minutes' where instance_id = 'b';
update centralcloud.instance set last_seen_at = clock_timestamp() - interval '10 days' where instance_id = 'c';
select expect((select live_instances || ' ' || silent_instances from centralcloud.fleet_figures(15000)), '1 1', 'those that are not gone');
select expect((select silent_instances::int from centralcloud.fleet_figures(15000, 20 * 86400000::bigint)), 2, 'gone is what the bound says');
select expect((select (o -> 'instances' ->> 'registered')::int from centralcloud.overview(15000) o), 2, 'on the front page, too');
select expect((select string_agg(instance_id, ',') from centralcloud.troubled_instances(60000, 7 * 86400000)), 'b', 'silent, and not gone');
-- However many there are: who is left out would seem to be well.
select centralcloud.heartbeat('many-' || i, '1', '{}') from generate_series(1, 150) i \g /dev/null
update centralcloud.instance set last_seen_at = clock_timestamp() - interval '20 minutes' where instance_id like 'many-%';
select expect((select count(*)::int from centralcloud.troubled_instances(60000, 7 * 86400000)), 151, 'all of them');
