-- What a batch holds is handed out newest first.
-- faults: calm, flood
-- caught by: order_of_messages, order_of_samples
select pg_temp.patch('quantumflow.take_lane', 'b.lower_id, win, wanted) l;', 'b.lower_id, win, wanted) l order by l.xid desc, l.msg_id desc;');
