\ir _queue.sql
-- The first of a key is handed out before those that wait behind it, also where it comes due while a take looks through them: so
-- many wait that a look takes some milliseconds, and one look follows the other until something is due.
select cardinality(publish_many('patterns_for_aggregator_queue', array(
  select jsonb_build_object('code_pattern', jsonb_build_object('after', 'k'), 'n', n)::text from generate_series(1, 3000) n))) as n \gset
begin;
select fail(message_id, 'boom', 100, 60000) from take('patterns_for_aggregator_queue', 'centralcloud', 1) \gset
commit;
begin;
select expect((select count(*) from take('patterns_for_aggregator_queue', 'centralcloud', 5000)), 0::bigint, 'all wait');
commit;
do $$
declare
  of_cursor int := (select distinct r.cursor_id from quantumflow.retry r);
  first_one bigint := (select min(r.msg_id) from quantumflow.retry r);
  handed_out bigint;
begin
  perform public.expect((select count(*) from quantumflow.retry), 3000::bigint, 'wait');
  for round in 1..30 loop
    update quantumflow.retry r set due_at = clock_timestamp() + interval '5 ms' + round * interval '0.1 ms'
     where r.msg_id = first_one;
    commit;
    loop
      select d.message_id into handed_out from quantumflow.take_due_retries(of_cursor, 1) d;
      exit when found;
    end loop;
    perform public.expect(handed_out, first_one, 'the first of its key, in round ' || round);
    rollback;
  end loop;
end $$;
