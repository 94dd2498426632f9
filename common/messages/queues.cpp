#include "common/messages/queues.hpp"

#include <array>

namespace fleet::messages {
namespace {

constexpr int retries = 3;
constexpr std::int64_t delay_ms = 1000;

constexpr std::array<queue_info, 10> table{{
    {queues::proposals_for_consensus, "proposal_for_consensus", queue_reader::coordinator, 3, retries, delay_ms},
    {queues::votes_for_consensus, "vote", queue_reader::coordinator, 3, retries, delay_ms},
    {queues::metrics_to_guardian, "execution_metrics", queue_reader::coordinator, 2, retries, delay_ms},
    {queues::patterns_for_aggregator, "pattern_discovered", queue_reader::coordinator, 1, retries, delay_ms},
    {queues::voting_requests, "voting_request", queue_reader::agent, 2, retries, delay_ms},
    {queues::consensus_results, "consensus_result", queue_reader::agent, 2, retries, delay_ms},
    {queues::rollback_triggers, "rollback_trigger", queue_reader::agent, 1, retries, delay_ms},
    {queues::guardian_safety_profiles, "safety_profile_update", queue_reader::agent, 1, retries, delay_ms},
    {queues::consensus_patterns, "consensus_pattern", queue_reader::agent, 1, retries, delay_ms},
    {queues::learning_loop_completed, "learning_loop_completed", queue_reader::outside, 0, retries, delay_ms},
}};

}  // namespace

std::span<const queue_info> all_queues() {
  return table;
}

const queue_info* find_queue(std::string_view name) {
  for (const auto& queue : table)
    if (queue.name == name) return &queue;
  return nullptr;
}

}  // namespace fleet::messages
