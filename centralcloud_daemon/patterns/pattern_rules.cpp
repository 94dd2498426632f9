#include "centralcloud_daemon/patterns/pattern_rules.hpp"

#include <algorithm>
#include <tuple>

namespace fleet::central::patterns {

std::optional<std::string> pattern_of(const pattern_settings& settings, std::string_view code,
                                      std::span<const known_pattern> candidates) {
  if (code.size() > max_compared_bytes) return std::nullopt;
  const auto shape = shape_of(code);
  base::decimal best;
  std::optional<std::string> found;
  for (const auto& candidate : candidates) {
    if (candidate.code.size() > max_compared_bytes) continue;
    const auto alike = similarity(shape, shape_of(candidate.code));
    if (alike < settings.same_similarity || alike <= best) continue;
    best = alike;
    found = candidate.pattern_id;
  }
  return found;
}

base::decimal mean_success_rate(const pattern_evidence& evidence) {
  if (evidence.reports <= 0) return {};
  return base::decimal::from_millionths(evidence.success_rate_sum.millionths() / evidence.reports);
}

bool is_confirmed(const pattern_settings& settings, const pattern_evidence& evidence) {
  // Compared as a sum: the rounded mean plays no part.
  return evidence.reports > 0 && evidence.distinct_instances >= settings.min_instances &&
         evidence.success_rate_sum.millionths() >= settings.min_success_rate.millionths() * evidence.reports;
}

bool is_promoted(const pattern_settings& settings, const pattern_evidence& evidence) {
  return is_confirmed(settings, evidence) && evidence.usage_count >= settings.promote_usage;
}

std::vector<suggestion> best_suggestions(const pattern_settings& settings, std::vector<suggestion> candidates) {
  std::erase_if(candidates, [&](const suggestion& each) {
    return each.similarity <= settings.suggest_above || each.success_rate < settings.suggest_success_rate;
  });
  std::sort(candidates.begin(), candidates.end(), [](const suggestion& a, const suggestion& b) {
    return std::tie(b.similarity, b.success_rate, a.pattern_id) < std::tie(a.similarity, a.success_rate, b.pattern_id);
  });
  if (candidates.size() > settings.max_suggestions) candidates.resize(settings.max_suggestions);
  return candidates;
}

}  // namespace fleet::central::patterns
