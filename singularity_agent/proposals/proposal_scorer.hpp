// Which proposal goes first: its priority, and how that grows while it waits. Pure.
#pragma once
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/decimal.hpp"

namespace fleet::agent::proposals {

/// What a priority is made of; the initial values stand for what is not known.
struct score_input {
  base::decimal impact = base::decimal::from_int(5);                     ///< 1-10
  base::decimal risk = base::decimal::from_int(5);                       ///< 1-10
  base::decimal success_rate = base::decimal::from_millionths(500'000);  ///< 0-1
  base::decimal cost_factor = base::decimal::from_int(5);                ///< see `cost_factor_of`
  std::chrono::milliseconds waiting{0};  ///< since submission; a negative one (a clock set back) counts as 0
};

/// (impact × success_rate) / max(cost_factor × risk, 0.1) × (1 + hours_waiting / 24 × 0.1). A value to order by.
double priority(const score_input& input);

/// A place in the queue, as of one moment: waiting raises all of them, so compute every priority for the same moment.
struct queue_place {
  double priority = 0;
  std::chrono::system_clock::time_point submitted;
  std::string proposal_id;
};

/// Highest priority first, then oldest, then by id, so that the order is total.
bool goes_before(const queue_place& a, const queue_place& b);

using cost_factors = std::map<std::string, base::decimal, std::less<>>;
/// BugFixerAgent 3, RefactoringAgent 2, OptimizationAgent 8, DocumentationGenerator 1, QualityCodeGenerator 5,
/// FeatureSynthesizer 7.
const cost_factors& default_cost_factors();
/// The factor of an agent type, 5 where the table does not name it.
base::decimal cost_factor_of(std::string_view agent_type, const cost_factors& table = default_cost_factors());

/// The ended proposals of an agent type, the latest `track_record_length` of them.
struct track_record {
  std::int64_t ended = 0;
  std::int64_t succeeded = 0;  ///< of `ended`
};
inline constexpr std::int64_t track_record_length = 100;
/// Succeeded / ended, rounded to the nearest millionth; absent where none has ended.
std::optional<base::decimal> success_rate_of(const track_record& record);

}  // namespace fleet::agent::proposals
