-- `audit verify` finds the log whole, and in it every head that was noted; in a copy that was tampered with it finds how (12).
select v.what, format('exit code %s: %s', v.exit_code, left(v.report::text, 600)) from faults.audit_verify v
 where v.expected = '{}' and not (v.exit_code = 0 and coalesce((v.report ->> 'intact')::boolean, false) and (v.report ->> 'entries')::int > 0)
union all
select e.wanted, format('not found in %s, exit code %s: %s', v.what, v.exit_code, left(v.report ->> 'findings', 600))
  from faults.audit_verify v cross join unnest(v.expected) e(wanted)
 where v.exit_code <> 1 or not exists (
   select from jsonb_array_elements(v.report -> 'findings') f
    where format('%s %s', f ->> 'problem', coalesce((f ->> 'chain') || '/' || (f ->> 'seq'), f ->> 'proposal_id')) = e.wanted)
union all
select n.wanted, 'was not looked at' from unnest('{the log,head %,a copy that was tampered with}'::text[]) n(wanted)
 where not exists (select from faults.audit_verify v where v.what like n.wanted)
