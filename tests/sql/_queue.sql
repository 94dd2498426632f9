-- Shared by the queue's cases: expect(actual, expected, what), raises(statement, part of the message).
set search_path to quantumflow, public;
create function public.expect(actual anyelement, expected anyelement, what text) returns void language plpgsql as $$
begin
  if actual is distinct from expected then raise exception '%: expected %, got %', what, expected, actual; end if;
end $$;
create function public.raises(statement text, part text) returns void language plpgsql as $$
begin
  begin
    execute statement;
  exception when others then
    if position(part in sqlerrm) = 0 then raise exception '%: expected "%", got "%"', statement, part, sqlerrm; end if;
    return;
  end;
  raise exception '%: expected an error with "%", none came', statement, part;
end $$;
