\ir _queue.sql
-- What tells a worker how long it may sleep says "nothing" as null, never as 0: a worker would spin on it.
select expect(singularity.next_watch_ms('nobody'), null::bigint, 'nothing is watched');
select expect(centralcloud.next_due_ms(1000), null::bigint, 'no timed work is due');
