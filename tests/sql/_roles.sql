-- Shared by the cases about permissions: roles, and a URL for each of them: \c :alpha logs in as that instance, \c :owner goes back.
-- A superuser could take on any role with SET SESSION AUTHORIZATION; logging in also works for an owner who is none.
\ir _queue.sql
set search_path to public;
\getenv owner FLEET_CASE_URL
select quantumflow.enroll('alpha', 'secret'), quantumflow.enroll('beta', 'secret') \gset
select format('create role %I login password %L', current_database() || '_' || n, 'secret')
  from unnest('{coordinator,reader,nobody,stray}'::text[]) n \gexec
select format('grant %I to %I', r, current_database() || '_' || n)
  from (values ('coordinator', 'centralcloud'), ('reader', 'centralcloud_readonly'), ('stray', 'singularity_agent')) v(n, r) \gexec
select max(u) filter (where n = 'alpha') as alpha, max(u) filter (where n = 'beta') as beta, max(u) filter (where n = 'stray') as stray,
       max(u) filter (where n = 'coordinator') as coordinator, max(u) filter (where n = 'reader') as reader,
       max(u) filter (where n = 'nobody') as nobody
  from (select n, regexp_replace(:'owner', '//([^@/]*@)?', format('//%s_%s:secret@', current_database(), n)) as u
          from unnest('{alpha,beta,stray,coordinator,reader,nobody}'::text[]) n) urls \gset
-- refused(statement, part of the message): raises() for what permissions refuse.
create function public.refused(statement text, part text default 'permission denied') returns void language plpgsql as $$
declare state text; message text;
begin
  begin
    execute statement;
  exception when others then
    get stacked diagnostics state = returned_sqlstate, message = message_text;
    if state <> '42501' or position(part in message) = 0 then
      raise exception '%: expected a refusal with "%", got % "%"', statement, part, state, message;
    end if;
    return;
  end;
  raise exception '%: expected a refusal with "%", it was done', statement, part;
end $$;
