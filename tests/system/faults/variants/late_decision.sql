-- A vote that comes after the decision is counted, and decides again.
-- faults: proposals_at_once, freeze_daemon
-- caught by: one_decision, explained_decision
drop trigger once_only on centralcloud.decision;
alter table centralcloud.vote drop constraint vote_check;
select pg_temp.patch('centralcloud.record_vote', 'when p.state <> ''voting'' then ''after_decision''', 'when false then null');
select pg_temp.patch('centralcloud.decide', ' and p.state = ''voting'' returning', ' returning');
select pg_temp.patch('centralcloud.decide', 'insert into centralcloud.decision (',
                     'delete from centralcloud.decision d where d.proposal_id = decide.proposal_id;
  insert into centralcloud.decision (');
