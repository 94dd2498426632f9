-- No variant, but what each begins with: how a variant changes a function. What it replaces must stand there exactly once; an
-- error otherwise, because a variant whose place has moved breaks nothing and would prove nothing.
create function pg_temp.patch(function regproc, old text, new text) returns void language plpgsql as $$
declare
  definition text := pg_get_functiondef(function);
  found int := (length(definition) - length(replace(definition, old, ''))) / length(old);
begin
  if found <> 1 then
    raise exception '% has "%" % times, and not once: the variant must follow the code', function, old, found;
  end if;
  execute replace(definition, old, new);
end $$;
