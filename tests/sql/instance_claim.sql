-- One process an instance: who has the claim, for how long, and who may take it.
\ir _queue.sql
\getenv url FLEET_CASE_URL
set search_path to singularity, public;

select expect(claim_instance('a', 'first', 'here', true, 60000), null::text, 'nobody had it');
select expect(claim_instance('a', 'first', 'here', true, 60000), null::text, 'its own');
select expect(claim_instance('b', 'other', 'there', true, 60000), null::text, 'another instance is another claim');
select expect(claim_instance('a', 'second', 'there', true, 60000) like 'here, since %', true, 'refused, and told who has it');
select expect(renew_claim('a', 'first'), null::text, 'renewed');
select expect(renew_claim('a', 'second') like 'here, since %', true, 'it is not the second one''s to renew');
select release_claim('a', 'second');
select expect(renew_claim('a', 'first'), null::text, 'nor to give free');

-- It lasts as long as it is renewed.
update running_agent set renewed_at = clock_timestamp() - interval '2 seconds' where instance_id = 'a';
select expect(claim_instance('a', 'second', 'there', true, 60000) is null, false, 'within the lease');
select expect(claim_instance('a', 'second', 'there', true, 1000), null::text, 'after it');
select expect(renew_claim('a', 'first') like 'there, since %', true, 'the first one is told by whom it was replaced');
select expect((select run from running_agent where instance_id = 'a'), 'second', 'and changes nothing');

-- And as long as its session is there, where it has one.
select dblink_connect('agent', :'url');
select held from dblink('agent', $$select singularity.claim_instance('c', 'first', 'here', true, 60000)$$) t(held text);
select expect(claim_instance('c', 'second', 'there', true, 60000) is null, false, 'while its session is there');
select dblink_disconnect('agent');
do $$ begin  -- the server notices soon
  for i in 1..100 loop
    exit when not exists (select from pg_stat_activity a join singularity.running_agent r on a.pid = r.backend_pid where r.instance_id = 'c');
    perform pg_sleep(0.05), pg_stat_clear_snapshot();
  end loop;
end $$;
select expect(claim_instance('c', 'second', 'there', false, 60000), null::text, 'its session is gone');
select expect((select backend_pid from running_agent where instance_id = 'c'), null::int, 'claimed without one');
select expect(claim_instance('c', 'third', 'yonder', true, 60000) is null, false, 'then the lease counts');

-- Given free, it is anybody's.
select release_claim('a', 'second');
select expect(renew_claim('a', 'second'), 'nobody', 'given free');
select expect(claim_instance('a', 'third', 'yonder', true, 60000), null::text, 'and taken');

-- Whoever is told that it is the instance has a claim, also where another one gives it free at that moment.
select dblink_connect('rival', :'url') \gset
select dblink_send_query('rival', $rival$do $$ begin
  for i in 1..4000 loop
    perform singularity.claim_instance('race', 'rival', 'there', false, 60000);
    commit;
    perform singularity.release_claim('race', 'rival');
    commit;
  end loop;
end $$ $rival$) \gset
do $$
declare
  told_so boolean;
  claims int := 0;
begin
  while dblink_is_busy('rival') = 1 loop
    told_so := singularity.claim_instance('race', 'ours', 'here', false, 60000) is null;
    if told_so then
      claims := claims + 1;
      perform public.expect((select run from singularity.running_agent where instance_id = 'race'), 'ours', 'a claim');
    end if;
    perform singularity.release_claim('race', 'ours');
    commit;
  end loop;
  perform public.expect(claims > 10, true, 'both had their turns');
end $$;
select dblink_disconnect('rival') \gset
