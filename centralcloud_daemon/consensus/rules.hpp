// The consensus rules: votes in, decision out. Pure values, thread-safe; the engine feeds them and carries the answer
// out.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "common/base/decimal.hpp"
#include "common/base/error.hpp"

namespace fleet::central::consensus {

/// An exact fraction: 2 of 3 votes meets 2/3, which no decimal text can say.
struct ratio {
  std::int64_t numerator = 2;
  std::int64_t denominator = 3;
  bool operator==(const ratio&) const = default;
};

/// "2/3", "1", "0.75". Error `invalid_input`: not such a text, not above 0, above 1, or a side above 1000000.
base::result<ratio> parse_ratio(std::string_view text);
std::string to_string(ratio value);

struct consensus_settings {
  std::int64_t min_votes = 3;
  ratio approval_ratio;                                                     ///< approvals / votes, met when equal
  base::decimal min_confidence = base::decimal::from_millionths(850'000);   ///< of the mean, met when equal
  base::decimal veto_confidence = base::decimal::from_millionths(900'000);  ///< one reject above it decides
  base::decimal quorum_fraction;  ///< of the electorate, 0-1; raises the required votes, never lowers them

  base::decimal always_vote_above = base::decimal::from_int(8);   ///< risk_score above it always goes to the vote
  base::decimal default_risk_bound = base::decimal::from_int(3);  ///< where a safety profile names no bound of its own
  bool auto_approve = false;                                      ///< whether `auto_approved` may be used at all
  base::decimal auto_approve_similarity = base::decimal::from_millionths(900'000);  ///< met when equal
  std::int64_t auto_approve_min_history = 10;  ///< changes of the type that were confirmed safe
};

/// Error `invalid_input` that lists every setting out of its range. `evaluate` and `before_voting` need a checked
/// value.
base::result<void> check(const consensus_settings& settings);

/// One vote of one member of the electorate.
struct counted_vote {
  std::string instance_id;
  bool approve = false;
  base::decimal confidence;  ///< 0-1
};

enum class decision_state { undecided, approved, rejected };

enum class decision_rule {
  none,  ///< only while undecided
  consensus,
  majority_reject,
  strong_rejection,
  no_consensus,
  timeout,
  auto_approved,
  not_required
};

std::string_view to_string(decision_state state);
/// The word of `consensus_result.rule`; "none" while undecided.
std::string_view to_string(decision_rule rule);

struct decision {
  decision_state state = decision_state::undecided;
  decision_rule rule = decision_rule::none;
  base::decimal confidence;  ///< mean over all votes, rounded to the nearest millionth for display; 0 without votes
  std::string rationale;     ///< one sentence with the figures; while undecided it says what is missing
};

/// max(min_votes, ceil(quorum_fraction × electorate)), at least 1.
std::int64_t required_votes(const consensus_settings& settings, std::int64_t electorate_size);

/// What the electorate and the votes come to.
struct tally {
  std::span<const counted_vote>
      votes;  ///< at most one an instance, only of the electorate; their order does not matter
  std::int64_t electorate_size = 0;
  bool deadline_passed = false;
};

/// Evaluates the rules in their order: strong rejection; too few votes; consensus; majority reject; everybody has
/// voted; deadline. An electorate smaller than the required votes can therefore only be decided by a veto or its
/// deadline.
decision evaluate(const consensus_settings& settings, const tally& votes);

/// What is known of a proposal before any vote.
struct candidate {
  std::optional<bool> needs_consensus;           ///< of the safety profile; absent means true
  base::decimal risk_score;                      ///< 1-10
  std::optional<base::decimal> risk_bound;       ///< of the safety profile; absent means `default_risk_bound`
  std::optional<base::decimal> best_similarity;  ///< to the changes of the type that were confirmed safe, 0-1
  std::int64_t confirmed_history = 0;            ///< how many such changes there are
};

/// A decision without a vote (`not_required`, `auto_approved`), or nothing: open the vote.
std::optional<decision> before_voting(const consensus_settings& settings, const candidate& proposal);

}  // namespace fleet::central::consensus
