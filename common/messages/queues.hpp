// The ten queues: their names, what travels in them, and what a daemon's configuration starts from.
#pragma once
#include <cstdint>
#include <span>
#include <string_view>

namespace fleet::messages {

namespace queues {
inline constexpr std::string_view proposals_for_consensus = "proposals_for_consensus_queue";
inline constexpr std::string_view votes_for_consensus = "votes_for_consensus_queue";
inline constexpr std::string_view metrics_to_guardian = "metrics_to_guardian_queue";
inline constexpr std::string_view patterns_for_aggregator = "patterns_for_aggregator_queue";
inline constexpr std::string_view voting_requests = "voting_requests_queue";
inline constexpr std::string_view consensus_results = "consensus_results_queue";
inline constexpr std::string_view rollback_triggers = "rollback_triggers_queue";
inline constexpr std::string_view guardian_safety_profiles = "guardian_safety_profiles_queue";
inline constexpr std::string_view consensus_patterns = "consensus_patterns_queue";
inline constexpr std::string_view learning_loop_completed = "learning_loop_completed_queue";
}  // namespace queues

enum class queue_reader { coordinator, agent, outside };

struct queue_info {
  std::string_view name;
  std::string_view message_type;
  queue_reader read_by;
  int workers;                  ///< default; 0: neither daemon consumes it
  int max_retries;              ///< default; attempts are one more
  std::int64_t retry_delay_ms;  ///< default, of the first retry
};

std::span<const queue_info> all_queues();
/// Null where there is no such queue.
const queue_info* find_queue(std::string_view name);

}  // namespace fleet::messages
