-- The ten queues of the daemons; common/messages has the formats.
select quantumflow.declare_queue('proposals_for_consensus_queue', 'lanes', '{proposal_id}', 8, 'centralcloud');
select quantumflow.declare_queue('votes_for_consensus_queue', 'lanes', '{proposal_id}', 8, 'centralcloud');
select quantumflow.declare_queue('metrics_to_guardian_queue', 'lanes', '{proposal_id}', 8, 'centralcloud');
select quantumflow.declare_queue('patterns_for_aggregator_queue', 'lanes', '{code_pattern,after}', 1, 'centralcloud');
select quantumflow.declare_queue('voting_requests_queue', 'broadcast', '{proposal_id}');
select quantumflow.declare_queue('consensus_results_queue', 'directed', '{proposal_id}');
select quantumflow.declare_queue('rollback_triggers_queue', 'directed', '{proposal_id}');
select quantumflow.declare_queue('guardian_safety_profiles_queue', 'directed_or_broadcast', '{agent_type}');
select quantumflow.declare_queue('consensus_patterns_queue', 'broadcast', '{pattern_id}');
select quantumflow.declare_queue('learning_loop_completed_queue', 'lanes', '{timestamp}', 1);
