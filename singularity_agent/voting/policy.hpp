// The policy voter: judges a proposal by fixed rules, so that an instance can vote without a person or a model. Pure.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/decimal.hpp"
#include "common/base/error.hpp"
#include "common/messages/blast_radius.hpp"

namespace fleet::agent::voting {

struct policy_settings {
  base::decimal max_risk_score = base::decimal::from_int(8);                       ///< above it: reject
  base::decimal min_impact_score = base::decimal::from_int(1);                     ///< below it: reject
  base::decimal min_benefit_ratio = base::decimal::from_millionths(500'000);       ///< impact / risk; below: reject
  base::decimal min_trial_success_rate = base::decimal::from_millionths(900'000);  ///< below it: reject
  base::decimal max_trial_error_rate = base::decimal::from_millionths(100'000);    ///< where the profile names none
  std::vector<std::string> denied_paths;                                           ///< see `path_matches`
  std::int64_t max_change_bytes = 1'000'000;  ///< of the patch or of all contents; above it: reject
  bool allow_unknown = false;                 ///< vote on changes whose paths cannot be read (command executor)
};

/// Error `invalid_input` that lists every setting out of its range.
base::result<void> check(const policy_settings& settings);

/// What could be read of a `code_change`.
struct change_summary {
  enum class form {
    paths_known,  ///< a patch or files: `paths` is everything that it touches, old names of renamed files included
    unknown,      ///< an object that only the command executor understands
    unreadable    ///< looks like a patch or files, but is malformed: `problem` says how
  };
  form kind = form::unreadable;
  std::vector<std::string> paths;
  std::int64_t bytes = 0;
  std::string problem;
};

struct ballot_input {
  change_summary change;
  base::decimal impact_score;                              ///< 1-10
  base::decimal risk_score;                                ///< 1-10
  std::optional<messages::blast_radius> blast_radius;      ///< of the metadata
  std::optional<messages::blast_radius> max_blast_radius;  ///< of the safety profile
  std::optional<base::decimal> error_threshold;            ///< of the safety profile, 0-1
  std::optional<base::decimal> trial_success_rate;         ///< of metadata.trial_results, 0-1
  std::optional<base::decimal> trial_error_rate;           ///< of metadata.trial_results, 0-1
};

struct ballot {
  bool approve = false;
  base::decimal confidence;  ///< 0-1
  std::string reason;        ///< one sentence that begins with the rule's name
};

/// Rejects a hard violation (unreadable or oversized change, unsafe or denied path, risk or blast radius above its
/// bound) with 0.95, which is a veto; a weak one (a blast radius that cannot be compared, little benefit, poor trials)
/// with 0.88. Approves with 0.98 − 0.012 × risk, 0.02 less where there are no trial results, never below 0.85.
ballot vote(const policy_settings& settings, const ballot_input& input);

/// Globs as in .gitignore: `*` and `?` stay within a component, `**` crosses them. A pattern without `/` matches any
/// component (`*.pem`, `secrets`); one with `/` is anchored at the root. A match on a folder covers all below it.
bool path_matches(std::string_view pattern, std::string_view path);

}  // namespace fleet::agent::voting
