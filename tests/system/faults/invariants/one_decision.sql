-- A proposal has one decision, the same for every reader (2).
select a.proposal_id, format('decided %s times: %s', count(*), string_agg(a.detail ->> 'status', ', ' order by a.audit_id))
  from centralcloud.audit_log a where a.action = 'decision' group by a.proposal_id having count(*) > 1
union all
select d.proposal_id, format('the coordinator says %s, the agent was told %s', d.status, p.decision ->> 'status')
  from centralcloud.decision d join singularity.proposal p using (proposal_id)
 where p.decision is not null and (p.decision ->> 'status' <> d.status or p.decision ->> 'rule' <> d.rule)
union all
select p.proposal_id, format('its state is %s, its decision %s', p.state, d.status)
  from centralcloud.proposal p join centralcloud.decision d using (proposal_id) where p.state <> d.status
union all
select p.proposal_id, 'sent to the vote, and no decision of it came back: ' || p.status
  from singularity.proposal p where p.sent_message is not null and p.decision is null
