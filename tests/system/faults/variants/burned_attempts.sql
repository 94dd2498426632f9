-- A vote is handled at its second attempt only, now and then.
-- faults: calm
-- caught by: dead_letters
select pg_temp.patch('centralcloud.record_vote', 'select * into p from centralcloud.proposal t where t.proposal_id = record_vote.proposal_id for no key update;',
                     'if random() < 0.2 then raise exception ''not now''; end if;
  select * into p from centralcloud.proposal t where t.proposal_id = record_vote.proposal_id for no key update;');
