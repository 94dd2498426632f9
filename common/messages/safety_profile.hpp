// The bounds that an agent type's changes must keep.
#pragma once
#include <boost/json/object.hpp>
#include <cstdint>
#include <optional>

#include "common/base/decimal.hpp"
#include "common/messages/blast_radius.hpp"
#include "common/messages/reader.hpp"

namespace fleet::messages {

/// Everything is optional: what a profile does not name is left to the receiver's defaults.
struct safety_profile {
  std::optional<base::decimal> success_rate;       ///< least success rate, 0-1
  std::optional<base::decimal> error_threshold;    ///< highest error rate, 0-1
  std::optional<base::decimal> latency_threshold;  ///< highest 95th percentile in ms
  std::optional<base::decimal> cost_threshold;     ///< in cents
  std::optional<bool> needs_consensus;
  std::optional<base::decimal> max_risk_score;  ///< 1-10: up to it `needs_consensus: false` goes without a vote
  std::optional<blast_radius> max_blast_radius;
  std::optional<bool> auto_rollback;  ///< false: a breach alerts instead of rolling back
  std::optional<std::int64_t> max_error_count;
  std::optional<std::int64_t> observation_window_seconds;  ///< 1 s to 7 days

  /// Unknown fields are ignored.
  static safety_profile read(reader in);
  boost::json::object encode() const;
  bool operator==(const safety_profile&) const = default;
};

inline constexpr std::int64_t max_observation_window_seconds = 7 * 24 * 3600;

/// Reads the required field `name` of `in`.
safety_profile read_safety_profile(reader& in, std::string_view name = "safety_profile");

}  // namespace fleet::messages
