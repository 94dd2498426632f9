-- Proposals come into the database in another order than the one in which they were handed in.
-- faults: calm
-- caught by: order_of_spool
create function singularity.disorder() returns trigger language plpgsql as $$
begin
  new.submitted_at := new.submitted_at - random() * interval '30 seconds';
  return new;
end $$;
create trigger disorder before insert on singularity.proposal for each row execute function singularity.disorder();
