#include "singularity_agent/voting/policy.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <variant>

#include "common/base/text.hpp"

namespace fleet::agent::voting {
namespace {

using base::decimal;

constexpr auto hard_confidence = decimal::from_millionths(950'000);  // above the coordinator's veto bound of 0.90
constexpr auto weak_confidence = decimal::from_millionths(880'000);  // counts, but is no veto
constexpr auto approval_base = decimal::from_millionths(980'000);
constexpr auto approval_floor = decimal::from_millionths(850'000);
constexpr auto untried_discount = decimal::from_millionths(20'000);
constexpr std::size_t max_glob_bytes = 1'000;

/// A glob over a whole text, in time glob × text: `reach[j]` says whether the glob so far can match the first j bytes.
bool glob_matches(std::string_view glob, std::string_view text) {
  std::vector<char> reach(text.size() + 1, 0);
  reach[0] = 1;
  for (std::size_t i = 0; i < glob.size(); ++i) {
    if (glob[i] == '*') {
      const bool crosses = i + 1 < glob.size() && glob[i + 1] == '*';
      if (crosses) ++i;
      // `**/` also stands for no folder at all: "**/x" matches "x".
      const bool swallows_slash = crosses && i + 1 < glob.size() && glob[i + 1] == '/';
      if (swallows_slash) ++i;
      std::vector<char> next = reach;
      bool open = false;
      for (std::size_t j = 0; j < text.size(); ++j) {
        open = open || reach[j] != 0;
        if (text[j] == '/' && !crosses) open = false;
        if (open && (!swallows_slash || text[j] == '/')) next[j + 1] = 1;
      }
      reach = std::move(next);
      continue;
    }
    for (std::size_t j = text.size(); j > 0; --j) {
      const char c = text[j - 1];
      const bool fits = glob[i] == '?' ? c != '/' : c == glob[i];
      reach[j] = static_cast<char>(fits && reach[j - 1] != 0);
    }
    reach[0] = 0;
  }
  return reach[text.size()] != 0;
}

struct violation {
  decimal confidence;
  std::string reason;
};

violation hard(std::string reason) {
  return {hard_confidence, std::move(reason)};
}
violation weak(std::string reason) {
  return {weak_confidence, std::move(reason)};
}

/// A path that could mean another one than it says: absolute, or with `.`, `..` or empty components.
bool is_unsafe(std::string_view path) {
  const auto components = base::split(path, '/');
  return std::any_of(components.begin(), components.end(),
                     [](const std::string& each) { return each.empty() || each == "." || each == ".."; });
}

std::optional<violation> check_paths(const policy_settings& settings, const std::vector<std::string>& paths) {
  for (const auto& path : paths) {
    if (is_unsafe(path)) return hard(fmt::format("unsafe_path: {} is not plain", base::abbreviate(path, 200)));
    for (const auto& pattern : settings.denied_paths) {
      if (!path_matches(pattern, path)) continue;
      return hard(fmt::format("denied_path: {} matches {}", base::abbreviate(path, 200), pattern));
    }
  }
  return std::nullopt;
}

std::optional<violation> check_change(const policy_settings& settings, const change_summary& change) {
  if (change.kind == change_summary::form::unreadable) {
    return hard("unreadable_change: " + (change.problem.empty() ? "it is neither a patch nor files" : change.problem));
  }
  if (change.kind == change_summary::form::unknown && !settings.allow_unknown) {
    return hard("unknown_change: it is neither a patch nor files, and allow_unknown is off");
  }
  if (change.kind == change_summary::form::paths_known && change.paths.empty()) {
    return hard("unreadable_change: it touches no path");
  }
  if (change.bytes > settings.max_change_bytes) {
    return hard(
        fmt::format("change_size: {} bytes are above max_change_bytes {}", change.bytes, settings.max_change_bytes));
  }
  return check_paths(settings, change.paths);
}

std::string text_of(const messages::blast_radius& value) {
  const auto* number = std::get_if<decimal>(&value);
  return number != nullptr ? number->str() : std::string(messages::to_string(std::get<messages::blast_level>(value)));
}

std::optional<violation> check_risk(const policy_settings& settings, const ballot_input& input) {
  if (input.risk_score > settings.max_risk_score) {
    return hard(fmt::format("risk_score: {} is above max_risk_score {}", input.risk_score.str(),
                            settings.max_risk_score.str()));
  }
  if (!input.blast_radius || !input.max_blast_radius) return std::nullopt;
  const auto exceeds = messages::exceeds(*input.blast_radius, *input.max_blast_radius);
  if (exceeds == false) return std::nullopt;
  const auto actual = text_of(*input.blast_radius);
  const auto bound = text_of(*input.max_blast_radius);
  // A number against a word: the bound can be neither kept nor broken, so it is no ground for a veto.
  if (!exceeds) {
    return weak(fmt::format("blast_radius: {} cannot be compared with the safety profile's max_blast_radius {}", actual,
                            bound));
  }
  return hard(fmt::format("blast_radius: {} is above the safety profile's max_blast_radius {}", actual, bound));
}

/// impact / risk below the bound, without dividing: scores are 1-10, so the products stay small.
bool benefits_little(const policy_settings& settings, const ballot_input& input) {
  return input.impact_score.millionths() * decimal::scale <
         settings.min_benefit_ratio.millionths() * input.risk_score.millionths();
}

std::optional<violation> check_benefit(const policy_settings& settings, const ballot_input& input) {
  if (input.impact_score < settings.min_impact_score) {
    return weak(fmt::format("impact_score: {} is below min_impact_score {}", input.impact_score.str(),
                            settings.min_impact_score.str()));
  }
  if (benefits_little(settings, input)) {
    return weak(fmt::format("benefit_ratio: impact {} over risk {} is below min_benefit_ratio {}",
                            input.impact_score.str(), input.risk_score.str(), settings.min_benefit_ratio.str()));
  }
  if (input.trial_success_rate && *input.trial_success_rate < settings.min_trial_success_rate) {
    return weak(fmt::format("trial_success_rate: {} is below min_trial_success_rate {}",
                            input.trial_success_rate->str(), settings.min_trial_success_rate.str()));
  }
  const auto error_bound = input.error_threshold.value_or(settings.max_trial_error_rate);
  if (input.trial_error_rate && *input.trial_error_rate > error_bound) {
    return weak(fmt::format("trial_error_rate: {} is above {}", input.trial_error_rate->str(), error_bound.str()));
  }
  return std::nullopt;
}

ballot approval(const ballot_input& input) {
  const bool tried = input.trial_success_rate || input.trial_error_rate;
  auto confidence = approval_base - decimal::from_millionths(input.risk_score.millionths() * 12 / 1000);
  if (!tried) confidence = confidence - untried_discount;
  const auto held = std::clamp(confidence, approval_floor, approval_base);
  return {true, held,
          fmt::format("within_policy: risk {}, impact {}, {}", input.risk_score.str(), input.impact_score.str(),
                      tried ? "trial results within bounds" : "no trial results")};
}

}  // namespace

base::result<void> check(const policy_settings& settings) {
  std::vector<base::field_error> wrong;
  const auto range = [&](const char* name, decimal value, std::int64_t max) {
    if (value < decimal{} || value > decimal::from_int(max)) {
      wrong.push_back({name, fmt::format("expected 0 to {}", max)});
    }
  };
  range("max_risk_score", settings.max_risk_score, 10);
  range("min_impact_score", settings.min_impact_score, 10);
  range("min_benefit_ratio", settings.min_benefit_ratio, 10);
  range("min_trial_success_rate", settings.min_trial_success_rate, 1);
  range("max_trial_error_rate", settings.max_trial_error_rate, 1);
  if (settings.max_change_bytes < 1) wrong.push_back({"max_change_bytes", "expected at least 1"});
  for (const auto& pattern : settings.denied_paths) {
    if (!pattern.empty() && pattern.size() <= max_glob_bytes) continue;
    wrong.push_back({"denied_paths", fmt::format("expected patterns of 1 to {} bytes", max_glob_bytes)});
    break;
  }
  if (!wrong.empty()) return base::invalid_fields(std::move(wrong));
  return {};
}

ballot vote(const policy_settings& settings, const ballot_input& input) {
  auto found = check_change(settings, input.change);
  if (!found) found = check_risk(settings, input);
  if (!found) found = check_benefit(settings, input);
  if (found) return {false, found->confidence, std::move(found->reason)};
  return approval(input);
}

bool path_matches(std::string_view pattern, std::string_view path) {
  while (pattern.starts_with("./")) pattern.remove_prefix(2);
  while (pattern.ends_with('/')) pattern.remove_suffix(1);
  if (pattern.empty()) return false;
  if (pattern.find('/') == std::string_view::npos) {
    const auto components = base::split(path, '/');
    return std::any_of(components.begin(), components.end(),
                       [&](const std::string& component) { return glob_matches(pattern, component); });
  }
  while (pattern.starts_with('/')) pattern.remove_prefix(1);
  for (auto end = path.find('/'); end != std::string_view::npos; end = path.find('/', end + 1)) {
    if (glob_matches(pattern, path.substr(0, end))) return true;
  }
  return glob_matches(pattern, path);
}

}  // namespace fleet::agent::voting
