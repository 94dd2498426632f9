#include "singularity_agent/proposals/proposal_scorer.hpp"

#include <algorithm>

namespace fleet::agent::proposals {

double priority(const score_input& input) {
  using hours = std::chrono::duration<double, std::ratio<3600>>;
  const auto waited = std::max(hours(input.waiting).count(), 0.0);
  const auto gain = input.impact.to_double() * input.success_rate.to_double();
  const auto cost = std::max(input.cost_factor.to_double() * input.risk.to_double(), 0.1);
  return gain / cost * (1.0 + waited / 24.0 * 0.1);
}

bool goes_before(const queue_place& a, const queue_place& b) {
  if (a.priority != b.priority) return a.priority > b.priority;
  if (a.submitted != b.submitted) return a.submitted < b.submitted;
  return a.proposal_id < b.proposal_id;
}

const cost_factors& default_cost_factors() {
  static const cost_factors table{
      {"BugFixerAgent", base::decimal::from_int(3)},        {"RefactoringAgent", base::decimal::from_int(2)},
      {"OptimizationAgent", base::decimal::from_int(8)},    {"DocumentationGenerator", base::decimal::from_int(1)},
      {"QualityCodeGenerator", base::decimal::from_int(5)}, {"FeatureSynthesizer", base::decimal::from_int(7)}};
  return table;
}

base::decimal cost_factor_of(std::string_view agent_type, const cost_factors& table) {
  const auto at = table.find(agent_type);
  return at == table.end() ? score_input{}.cost_factor : at->second;
}

std::optional<base::decimal> success_rate_of(const track_record& record) {
  if (record.ended <= 0) return std::nullopt;
  const auto succeeded = std::clamp<std::int64_t>(record.succeeded, 0, record.ended);
  return base::decimal::from_millionths((succeeded * base::decimal::scale + record.ended / 2) / record.ended);
}

}  // namespace fleet::agent::proposals
