// Learning thresholds: from what an agent type's confirmed changes measured to the bounds of its safety profile. Pure.
//
// The normal range is taken without assuming a distribution (rates and latencies are skewed, so mean ± k·σ misleads):
// the 99th percentile of the confirmed changes for a metric that must not rise, the 1st for one that must not fall, by
// nearest rank (the inverse of the empirical distribution function, definition 1 of Hyndman & Fan 1996), plus a margin.
// The default minimum of 59 samples is Wilks' (1941): the largest of 59 is, with 95 % confidence, above 95 % of all (1
// − 0.95^59 ≥ 0.95).
#pragma once
#include <cstddef>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/base/decimal.hpp"

namespace fleet::central::guardian {

enum class direction {
  must_not_rise,  ///< the threshold is an upper bound: latency, cost, error rate
  must_not_fall   ///< the threshold is a lower bound: success rate
};

/// How one threshold may be learned. All values are in the metric's unit.
struct learning_rule {
  std::string metric;
  direction worse = direction::must_not_rise;
  base::decimal loosest;          ///< the ceiling: a learned threshold is never looser
  base::decimal strictest;        ///< nor stricter, or a spotless record would forbid the first slip
  base::decimal margin;           ///< distance from the percentile, at least this
  base::decimal relative_margin;  ///< and at least this part of it (0.2 = 20 %)
  base::decimal step;             ///< only a move by more than this is worth an update
};

struct learning_settings {
  std::size_t min_samples = 59;
  std::vector<learning_rule> rules;
};

/// success_rate, error_rate, latency_p95_ms, cost_cents and error_count (its increase); by default learning only
/// tightens: the ceilings are the Guardian's default thresholds.
learning_settings default_learning();

struct threshold_update {
  std::string metric;
  std::optional<base::decimal> from;  ///< absent where there was no threshold yet
  base::decimal to;
  std::size_t samples = 0;
};

/// The smallest value that at least `percent` (1-100) of the samples do not exceed. Precondition: samples not empty.
base::decimal nearest_rank(std::span<const base::decimal> samples, int percent);

/// The threshold that the samples speak for, or nothing: too few samples, or no move by more than the step.
/// `samples`: one value a confirmed change, never of a rolled-back one; any order.
std::optional<threshold_update> propose_threshold(const learning_rule& how, std::size_t min_samples,
                                                  std::optional<base::decimal> current,
                                                  std::span<const base::decimal> samples);

/// `propose_threshold` for every rule of the settings, with thresholds and samples by metric name.
std::vector<threshold_update> propose_updates(const learning_settings& settings,
                                              const std::map<std::string, base::decimal>& current,
                                              const std::map<std::string, std::vector<base::decimal>>& samples);

}  // namespace fleet::central::guardian
