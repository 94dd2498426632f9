-- Effects outside the database that a message causes (a webhook, a command): noted before they are tried and settled in the
-- transaction that acknowledges the message, so that after a crash it is known that one may have happened.
create table quantumflow.effect (
  key        text primary key,  -- an instance's begins with its id
  tries      int not null default 1,
  started_at timestamptz not null default clock_timestamp(),
  result     text,
  settled_at timestamptz);
create index on quantumflow.effect (settled_at);

-- Notes a try; commit it before trying. settled: it was done, with `result`; otherwise `tries` counts this one, and more
-- than one means that an earlier try may have happened.
create function quantumflow.begin_effect(key text, out settled boolean, out result text, out tries int)
language plpgsql as $$
declare own_key text := quantumflow.own_name(key);
begin
  if coalesce(length(key), 0) not between 1 and 400 then
    raise exception 'key: expected 1 to 400 characters' using errcode = 'invalid_parameter_value';
  end if;
  insert into quantumflow.effect as e (key) values (own_key)
    on conflict on constraint effect_pkey do update set tries = e.tries + 1 where e.settled_at is null
    returning false, null, e.tries into settled, result, tries;
  if not found then
    select true, e.result, e.tries into settled, result, tries from quantumflow.effect e where e.key = own_key;
  end if;
end $$;

create function quantumflow.settle_effect(key text, result text) returns void language plpgsql as $$
declare own_key text := quantumflow.own_name(key);
begin
  update quantumflow.effect e set result = settle_effect.result, settled_at = clock_timestamp()
   where e.key = own_key and e.settled_at is null;
  if not found then
    raise exception 'key: no effect "%" is under way', left(key, 100) using errcode = 'invalid_parameter_value';
  end if;
end $$;

-- Forgets settled effects: a message that comes again later than this would repeat its effect.
create function quantumflow.trim_effects(keep interval default '30 days') returns bigint language plpgsql as $$
declare trimmed bigint;
begin
  delete from quantumflow.effect e where e.settled_at < clock_timestamp() - keep;
  get diagnostics trimmed = row_count;
  return trimmed;
end $$;
