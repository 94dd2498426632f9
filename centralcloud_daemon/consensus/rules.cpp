#include "centralcloud_daemon/consensus/rules.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <numeric>
#include <utility>
#include <vector>

namespace fleet::central::consensus {
namespace {

using base::decimal;

constexpr std::int64_t max_ratio_side = 1'000'000;

struct counts {
  std::int64_t votes = 0;
  std::int64_t approvals = 0;
  std::int64_t confidence_sum = 0;          ///< millionths
  const counted_vote* strongest = nullptr;  ///< the reject with the highest confidence; of equals the first by id
};

bool is_stronger(const counted_vote& a, const counted_vote& b) {
  if (a.confidence != b.confidence) return a.confidence > b.confidence;
  return a.instance_id < b.instance_id;
}

counts count(std::span<const counted_vote> votes) {
  counts result;
  for (const auto& vote : votes) {
    ++result.votes;
    result.confidence_sum += vote.confidence.millionths();
    if (vote.approve) {
      ++result.approvals;
    } else if (result.strongest == nullptr || is_stronger(vote, *result.strongest)) {
      result.strongest = &vote;
    }
  }
  return result;
}

decimal mean_of(const counts& of) {
  if (of.votes == 0) return {};
  return decimal::from_millionths((of.confidence_sum + of.votes / 2) / of.votes);
}

// The mean is never divided out where it decides: 0.8499996 must not round up to 0.85.
bool is_confident(const counts& of, decimal bound) {
  return of.confidence_sum >= bound.millionths() * of.votes;
}

bool meets(const counts& of, ratio bound) {
  return of.approvals * bound.denominator >= bound.numerator * of.votes;
}

decision made(decision_state state, decision_rule rule, const counts& of, std::string rationale) {
  return {state, rule, mean_of(of), std::move(rationale)};
}

std::string figures(const consensus_settings& settings, const counts& of) {
  return fmt::format("{} of {} votes approve (needed: {}), mean confidence {} (needed: {})", of.approvals, of.votes,
                     to_string(settings.approval_ratio), mean_of(of).str(), settings.min_confidence.str());
}

std::optional<std::int64_t> parse_side(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  if (value < 1 || value > max_ratio_side) return std::nullopt;
  return value;
}

std::optional<ratio> read_ratio(std::string_view text) {
  const auto slash = text.find('/');
  if (slash != std::string_view::npos) {
    const auto numerator = parse_side(text.substr(0, slash));
    const auto denominator = parse_side(text.substr(slash + 1));
    if (!numerator || !denominator) return std::nullopt;
    return ratio{*numerator, *denominator};
  }
  const auto value = decimal::parse(text);
  if (!value || value->millionths() < 1) return std::nullopt;
  const auto divisor = std::gcd(value->millionths(), decimal::scale);
  return ratio{value->millionths() / divisor, decimal::scale / divisor};
}

}  // namespace

base::result<ratio> parse_ratio(std::string_view text) {
  const auto value = read_ratio(text);
  if (!value || value->numerator > value->denominator) {
    return base::make_error(base::error_kind::invalid_input,
                            fmt::format("'{}' is no ratio: expected e.g. 2/3 or 0.75, above 0 and at most 1", text));
  }
  return *value;
}

std::string to_string(ratio value) {
  return fmt::format("{}/{}", value.numerator, value.denominator);
}

base::result<void> check(const consensus_settings& settings) {
  std::vector<base::field_error> wrong;
  const auto fraction = [&](const char* name, decimal value) {
    if (value < decimal{} || value > decimal::from_int(1)) wrong.push_back({name, "expected 0 to 1"});
  };
  const auto score = [&](const char* name, decimal value) {
    if (value < decimal{} || value > decimal::from_int(10)) wrong.push_back({name, "expected 0 to 10"});
  };
  if (settings.min_votes < 1 || settings.min_votes > 10'000) wrong.push_back({"min_votes", "expected 1 to 10000"});
  const auto [numerator, denominator] = settings.approval_ratio;
  if (numerator < 1 || denominator > max_ratio_side || numerator > denominator) {
    wrong.push_back({"approval_ratio", "expected above 0 and at most 1"});
  }
  fraction("min_confidence", settings.min_confidence);
  fraction("veto_confidence", settings.veto_confidence);
  fraction("quorum_fraction", settings.quorum_fraction);
  fraction("auto_approve_similarity", settings.auto_approve_similarity);
  score("always_vote_above", settings.always_vote_above);
  score("default_risk_bound", settings.default_risk_bound);
  if (settings.auto_approve_min_history < 1) wrong.push_back({"auto_approve_min_history", "expected at least 1"});
  if (!wrong.empty()) return base::invalid_fields(std::move(wrong));
  return {};
}

std::string_view to_string(decision_state state) {
  switch (state) {
    case decision_state::undecided:
      return "undecided";
    case decision_state::approved:
      return "approved";
    case decision_state::rejected:
      return "rejected";
  }
  return "unknown";
}

std::string_view to_string(decision_rule rule) {
  switch (rule) {
    case decision_rule::none:
      return "none";
    case decision_rule::consensus:
      return "consensus";
    case decision_rule::majority_reject:
      return "majority_reject";
    case decision_rule::strong_rejection:
      return "strong_rejection";
    case decision_rule::no_consensus:
      return "no_consensus";
    case decision_rule::timeout:
      return "timeout";
    case decision_rule::auto_approved:
      return "auto_approved";
    case decision_rule::not_required:
      return "not_required";
  }
  return "unknown";
}

std::int64_t required_votes(const consensus_settings& settings, std::int64_t electorate_size) {
  const auto product = settings.quorum_fraction.millionths() * electorate_size;
  const auto quorum = (product + decimal::scale - 1) / decimal::scale;
  return std::max({std::int64_t{1}, settings.min_votes, quorum});
}

decision evaluate(const consensus_settings& settings, const tally& votes) {
  using enum decision_state;
  const auto counted = count(votes.votes);
  const auto required = required_votes(settings, votes.electorate_size);

  if (counted.strongest != nullptr && counted.strongest->confidence > settings.veto_confidence) {
    return made(rejected, decision_rule::strong_rejection, counted,
                fmt::format("strong_rejection: {} rejects with confidence {}, above {}", counted.strongest->instance_id,
                            counted.strongest->confidence.str(), settings.veto_confidence.str()));
  }
  const bool enough = counted.votes >= required;
  if (enough && is_confident(counted, settings.min_confidence)) {
    const auto rejects = counted.votes - counted.approvals;
    if (meets(counted, settings.approval_ratio)) {
      return made(approved, decision_rule::consensus, counted, "consensus: " + figures(settings, counted));
    }
    if (rejects > counted.approvals) {
      return made(rejected, decision_rule::majority_reject, counted,
                  fmt::format("majority_reject: {} of {} votes reject, mean confidence {} (needed: {})", rejects,
                              counted.votes, mean_of(counted).str(), settings.min_confidence.str()));
    }
  }
  if (enough && counted.votes >= votes.electorate_size) {
    return made(rejected, decision_rule::no_consensus, counted,
                fmt::format("no_consensus: all {} members have voted; {}", counted.votes, figures(settings, counted)));
  }
  const auto so_far = enough ? figures(settings, counted)
                             : fmt::format("{} of {} votes needed have come, {} of them approve", counted.votes,
                                           required, counted.approvals);
  if (votes.deadline_passed) {
    return made(rejected, decision_rule::timeout, counted, "timeout: at the deadline " + so_far);
  }
  return made(undecided, decision_rule::none, counted, "undecided: " + so_far);
}

std::optional<decision> before_voting(const consensus_settings& settings, const candidate& proposal) {
  if (proposal.risk_score > settings.always_vote_above) return std::nullopt;
  const auto bound = proposal.risk_bound.value_or(settings.default_risk_bound);
  if (!proposal.needs_consensus.value_or(true) && proposal.risk_score <= bound) {
    return decision{decision_state::approved,
                    decision_rule::not_required,
                    {},
                    fmt::format("not_required: the safety profile asks for no vote and risk_score {} is at most {}",
                                proposal.risk_score.str(), bound.str())};
  }
  if (settings.auto_approve && proposal.confirmed_history >= settings.auto_approve_min_history &&
      proposal.best_similarity && *proposal.best_similarity >= settings.auto_approve_similarity) {
    return decision{decision_state::approved,
                    decision_rule::auto_approved,
                    {},
                    fmt::format("auto_approved: similarity {} (needed: {}) to one of {} changes confirmed safe "
                                "(needed: {})",
                                proposal.best_similarity->str(), settings.auto_approve_similarity.str(),
                                proposal.confirmed_history, settings.auto_approve_min_history)};
  }
  return std::nullopt;
}

}  // namespace fleet::central::consensus
