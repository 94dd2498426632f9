\ir _queue.sql
-- What a take and an idle look cost does not grow with the number of instances.
select count(subscribe(q, 'instance-' || i)) as n
  from generate_series(1, 400) i, unnest(array['voting_requests_queue', 'consensus_results_queue', 'guardian_safety_profiles_queue']) q \gset
analyze quantumflow.cursor, quantumflow.stream, quantumflow.cursor_position;
create function public.most_rows(statement text) returns bigint language plpgsql
set enable_seqscan = off set enable_bitmapscan = off set jit = off set plan_cache_mode = force_generic_plan as $$
declare plan jsonb;
begin
  execute 'prepare looked_at as ' || statement;
  execute 'explain (analyze, format json) execute looked_at (''consensus_results_queue'', ''instance-200'')' into plan;
  deallocate looked_at;
  return (select max((node ->> 'Actual Rows')::bigint * (node ->> 'Actual Loops')::bigint)
            from jsonb_path_query(plan, 'strict $.**') node where jsonb_typeof(node) = 'object' and node ? 'Actual Rows');
end $$;
select expect(public.most_rows('select * from work w where w.queue_name = $1::text and w.consumer_group = $2::text') <= 10, true, 'rows that a look reads');
