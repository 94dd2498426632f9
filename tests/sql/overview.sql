\ir _queue.sql
\getenv url FLEET_CASE_URL
create extension if not exists dblink schema public;
select public.dblink_connect('other', :'url') \gset
set search_path to centralcloud, public;
-- What the dashboard reads: pages of proposals, counts by state, and the steps since the last look.
create function public.ids(status text, max int default 100, after text default null) returns text language sql as
  $$ select coalesce(string_agg(p ->> 'proposal_id', ' ' order by n), '') from centralcloud.list_proposals(status, max, after) with ordinality l(p, n) $$;
insert into proposal (proposal_id, instance_id, agent_type, body, state, received_at, decided_at)
select 'p' || n, 'alpha', 'BugFixerAgent', '{"metadata": {"description": "d"}}', s.state,
       now() - (case when n = 6 then interval '2 days' else n / 2 * interval '1 minute' end),  -- two at a time came at once
       case when s.state <> 'voting' then now() end
  from (values (1, 'voting'), (2, 'approved'), (3, 'approved'), (4, 'rejected'), (5, 'approved'), (6, 'approved')) s(n, state);
insert into change (proposal_id, instance_id, agent_type, state, profile, received_at)
select proposal_id, 'alpha', 'BugFixerAgent', 'executing', '{}', received_at from proposal where proposal_id = 'p3';

-- Every page in order, nothing twice and nothing left out, ties included.
select expect(ids(null), 'p1 p3 p2 p5 p4 p6', 'newest first');
select expect(ids(null, 2), 'p1 p3', 'the first page');
select expect(ids(null, 2, 'p3'), 'p2 p5', 'the next one begins inside a tie');
select expect(ids(null, 2, 'p5'), 'p4 p6', 'and so does the last');
select expect(ids(null, 2, 'p6'), '', 'the end');
select raises($$select * from centralcloud.list_proposals(null, 2, 'unknown')$$, 'after: there is no proposal "unknown"');

-- By state: of the vote, of the change, and approved without having begun within a day.
select expect(ids('approved'), 'p3 p2 p5 p6', 'approved');
select expect(ids('executing'), 'p3', 'executing');
select expect(ids('not_begun'), 'p2 p5', 'not begun');
select expect(ids('not_begun', 1, 'p2'), 'p5', 'not begun, a page');
select expect((pipeline() ->> 'approved')::int, 2, 'the pipeline counts the same');
select expect((pipeline() ->> 'executing')::int, 1, 'executing');

-- Who follows the steps misses none that commits late, and gets none twice.
select next_since as since from steps_since(null) \gset
select public.dblink_exec('other', 'begin') \gset
select * from public.dblink('other', $$select centralcloud.add_step('p1', 'late', 'c', 'a')$$) t(x text) \gset
select add_step('p1', 'early', 'c', 'a') \gset
create function public.states(steps jsonb) returns text language sql as $$ select coalesce(string_agg(s ->> 'state', ' '), '') from jsonb_array_elements(steps) s $$;
select next_since as then_since, states(steps) as seen from steps_since(:'since') \gset
select expect(:'seen'::text, 'early', 'committed');
select public.dblink_exec('other', 'commit') \gset
select expect((select states(steps) from steps_since(:'then_since')), 'late', 'the late one, and only it');

-- What waits for each instance: what is sent to all, and what to it alone.
select count(heartbeat(i, '1', '{voter}')::text), count(quantumflow.subscribe('voting_requests_queue', i)::text),
       count(quantumflow.subscribe('consensus_results_queue', i)::text) from unnest('{alpha,beta,gamma}'::text[]) i \gset
select quantumflow.publish('voting_requests_queue', '{"proposal_id": "p1"}'), quantumflow.publish('consensus_results_queue', '{"proposal_id": "p1"}', 'beta') \gset
create function public.waiting(max int, after text default null) returns text language sql as
  $$ select string_agg(concat_ws(' ', i ->> 'instance_id', i ->> 'waiting', i ->> 'fresh', (i ->> 'oldest_waiting_seconds')::numeric >= 0), ', ' order by n)
       from centralcloud.list_instances(60000, max, after) with ordinality l(i, n) $$;
select expect(waiting(10), 'alpha 1 true t, beta 2 true t, gamma 1 true t', 'all instances');
select expect(waiting(1, 'alpha'), 'beta 2 true t', 'a page of them');
select count(*) from quantumflow.take('voting_requests_queue', 'alpha', 10) \gset
select expect((select i ->> 'waiting' || coalesce(i ->> 'oldest_waiting_seconds', '-') from list_instances(60000, 1) i), '0-', 'nothing waits any more');

-- The story of a proposal, with what it changes and without.
update proposal set body = body || '{"code_change": {"patch": "x"}}' where proposal_id = 'p1';
select expect(proposal_story('p1') #>> '{proposal,code_change,patch}', 'x', 'with its code');
insert into sample (proposal_id, instance_id, status, metrics_before, metrics_after, reported_at)
select 'p3', 'alpha', 'monitoring', '{}', '{"error_rate": 0.1}', now() + n * interval '1 s' from generate_series(1, 3) n;
create function public.sampled(after bigint) returns text language sql as
  $$ select string_agg(s ->> 'sample_id', ',' order by n) from jsonb_array_elements(proposal_story('p3', false, after) -> 'samples') with ordinality l(s, n) $$;
select min(sample_id) as first_sample, string_agg(sample_id::text, ',' order by sample_id) as all_samples,
       string_agg(sample_id::text, ',' order by sample_id) filter (where n > 1) as later_samples
  from (select sample_id, row_number() over (order by sample_id) n from sample where proposal_id = 'p3') s \gset
select expect(sampled(0), :'all_samples', 'all samples');
select expect(sampled(:first_sample), :'later_samples', 'those behind the one that the reader has');
select expect((proposal_story('p1') -> 'proposal') - 'code_change', proposal_story('p1', false) -> 'proposal', 'without, and nothing else is missing');

-- A page of patterns adds up the reports of that page and no others.
insert into pattern (pattern_id, pattern_type, code_pattern, code, last_seen_at) select 'pattern-' || n, 't', '{}', '', now() + n * interval '1 s' from generate_series(1, 2000) n;
insert into pattern_source (pattern_id, instance_id, agent_type, success_rate, usage_count, reports, reported_at)
select 'pattern-' || n, i, 't', 0.5, 2, 1, now() from generate_series(1, 2000) n, unnest('{alpha,beta}'::text[]) i;
select expect((select string_agg(p ->> 'pattern_id' || ' ' || (p ->> 'instances') || ' ' || (p ->> 'usage_count'), ', ' order by n) from list_patterns(2) with ordinality l(p, n)),
              'pattern-2000 2 4, pattern-1999 2 4', 'latest first');
create function public.blocks_of(statement text) returns bigint language plpgsql as $$
declare plan jsonb;
begin
  execute statement;
  execute 'explain (analyze, buffers, format json) ' || statement into plan;
  return (plan #>> '{0,Plan,Shared Hit Blocks}')::bigint + (plan #>> '{0,Plan,Shared Read Blocks}')::bigint;
end $$;
select expect(public.blocks_of('select * from centralcloud.list_patterns(10)') <= 300, true, 'blocks of a page of 10 of 2,000 patterns');
