// When reported patterns are the same one, when a pattern is confirmed or promoted, and which ones to suggest. Pure.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "centralcloud_daemon/patterns/similarity.hpp"
#include "common/base/decimal.hpp"

namespace fleet::central::patterns {

struct pattern_settings {
  base::decimal same_similarity = base::decimal::from_millionths(900'000);       ///< met when equal
  std::int64_t min_instances = 3;                                                ///< distinct ones
  base::decimal min_success_rate = base::decimal::from_millionths(950'000);      ///< of the mean, met when equal
  std::int64_t promote_usage = 100;                                              ///< met when equal
  base::decimal suggest_above = base::decimal::from_millionths(750'000);         ///< similarity; on it is not enough
  base::decimal suggest_success_rate = base::decimal::from_millionths(800'000);  ///< met when equal
  std::size_t max_suggestions = 5;
};

struct known_pattern {
  std::string pattern_id;
  std::string code;
};
/// The one of these patterns, all of one type, that the code is, and most alike; the first of equals. Nothing where it
/// is none of them, or is longer than `max_compared_bytes`. May take a second: not for a loop's thread.
std::optional<std::string> pattern_of(const pattern_settings& settings, std::string_view code,
                                      std::span<const known_pattern> candidates);

/// What all reports of one pattern come to.
struct pattern_evidence {
  std::int64_t distinct_instances = 0;
  std::int64_t reports = 0;
  base::decimal success_rate_sum;  ///< over `reports`
  std::int64_t usage_count = 0;
};

/// Mean success rate rounded down to millionths, 0 without reports.
base::decimal mean_success_rate(const pattern_evidence& evidence);
bool is_confirmed(const pattern_settings& settings, const pattern_evidence& evidence);
/// Confirmed, and used often enough.
bool is_promoted(const pattern_settings& settings, const pattern_evidence& evidence);

struct suggestion {
  std::string pattern_id;
  base::decimal similarity;    ///< to the code that was asked about
  base::decimal success_rate;  ///< mean of the pattern
};

/// The best of the candidates: by similarity, then success rate, then id.
std::vector<suggestion> best_suggestions(const pattern_settings& settings, std::vector<suggestion> candidates);

}  // namespace fleet::central::patterns
