-- A rollback trigger is handed out when nothing else waits any more, as if it had no lane of its own.
-- faults: flood
-- caught by: rollbacks_overtake
select pg_temp.patch('quantumflow.take_lane', 'perform quantumflow.check_take(queue, consumer_group, max);',
                     'perform quantumflow.check_take(queue, consumer_group, max);
  if take_lane.queue = ''rollback_triggers_queue''
     and exists (select from quantumflow.unread u where u.queue_name <> ''rollback_triggers_queue'') then return; end if;');
