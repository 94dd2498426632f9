-- What keeps the queue small: called at intervals by the coordinators.

-- Deletes positions that newer ones have replaced, and retries whose taker committed. Needs no cursor lock: a taker that
-- still runs is not visible here, and the position it started from is the newest that is.
create function quantumflow.trim_positions() returns bigint language plpgsql as $$
declare
  c record;
  trimmed bigint := 0;
  n bigint;
begin
  for c in select p.cursor_id, max(p.seq) as newest from quantumflow.cursor_position p
            group by p.cursor_id having count(*) > 1
  loop
    delete from quantumflow.cursor_position p where p.cursor_id = c.cursor_id and p.seq < c.newest;
    get diagnostics n = row_count;
    trimmed := trimmed + n;
  end loop;
  delete from quantumflow.retry r where r.taken_by is not null and r.taken_by <> coalesce(pg_current_xact_id_if_assigned(), '0');
  return trimmed + quantumflow.trim_producers() + quantumflow.trim_effects();
end $$;
