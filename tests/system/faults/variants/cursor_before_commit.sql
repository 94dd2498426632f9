-- A cursor moves when a batch is taken, and not when its transaction commits: what a crash interrupts is lost.
-- faults: kill_daemon, kill_postgres, terminate_backends, reset, terminate_backends, reset, terminate_backends, terminate_backends
-- caught by: acknowledged_messages, acknowledged_patterns, acknowledged_metrics, one_decision
create extension if not exists dblink with schema public;
create function quantumflow.move_at_once() returns trigger language plpgsql security definer as $$
begin
  if new.seq = 1 or current_setting('faults.at_once', true) = 'yes' then return new; end if;
  perform public.dblink_exec(
    format('dbname=%s host=%s port=%s user=postgres options=''-c faults.at_once=yes''', current_database(),
           current_setting('unix_socket_directories'), current_setting('port')),
    format('insert into quantumflow.cursor_position select (%L::quantumflow.cursor_position).*', new));
  return null;
end $$;
create trigger move_at_once before insert on quantumflow.cursor_position
  for each row execute function quantumflow.move_at_once();
