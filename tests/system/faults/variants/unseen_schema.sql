-- A daemon does not see that the schema is of a later version, and runs.
-- faults: schema_ahead
-- caught by: exits
create function quantumflow.unseen() returns trigger language plpgsql as $$ begin return null; end $$;
create trigger unseen before insert on quantumflow.schema_migration for each row execute function quantumflow.unseen();
