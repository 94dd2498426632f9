#include "centralcloud_daemon/guardian/rules.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <set>
#include <utility>

#include "common/base/text.hpp"

namespace fleet::central::guardian {
namespace {

using base::decimal;

constexpr std::int64_t max_consecutive = 1000;
constexpr std::size_t max_rules = 100;

base::error bad_rule(std::string_view text, std::string_view problem) {
  return base::make_error(base::error_kind::invalid_input,
                          fmt::format("rule '{}': {}; expected <metric> <|>|increase> <threshold> <severity> "
                                      "<consecutive> [alert_at=<n>] [alert_only]",
                                      base::abbreviate(text, 200), problem));
}

std::optional<comparison> read_comparison(std::string_view word) {
  for (const auto value : {comparison::below, comparison::above, comparison::increase_above}) {
    if (word == to_string(value)) return value;
  }
  return std::nullopt;
}

std::optional<std::int64_t> read_count(std::string_view word, std::int64_t max) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (error != std::errc{} || end != word.data() + word.size() || value < 1 || value > max) return std::nullopt;
  return value;
}

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words;
  for (auto& word : base::split(text, ' ')) {
    if (!word.empty()) words.push_back(std::move(word));
  }
  return words;
}

/// Values come from messages: a difference of extremes is held at the border, not wrapped around.
decimal difference(decimal after, decimal before) {
  std::int64_t value = 0;
  if (__builtin_sub_overflow(after.millionths(), before.millionths(), &value)) {
    value = after > before ? std::numeric_limits<std::int64_t>::max() : std::numeric_limits<std::int64_t>::min();
  }
  return decimal::from_millionths(value);
}

std::optional<decimal> find(const metric_set& values, const std::string& metric) {
  const auto at = values.find(metric);
  if (at == values.end()) return std::nullopt;
  return at->second;
}

/// What the rule compares, where the sample has it.
std::optional<decimal> compared_value(const rule& by, const sample& values) {
  const auto after = find(values.after, by.metric);
  if (by.compare != comparison::increase_above || !after) return after;
  const auto before = find(values.before, by.metric);
  if (!before) return std::nullopt;
  return difference(*after, *before);
}

bool is_breach(const rule& by, decimal actual) {
  return by.compare == comparison::below ? actual < by.threshold : actual > by.threshold;
}

std::optional<decimal> profile_value(const messages::safety_profile& profile, const rule& by) {
  if (by.compare == comparison::below) return by.metric == "success_rate" ? profile.success_rate : std::nullopt;
  if (by.compare == comparison::increase_above) {
    if (by.metric != "error_count" || !profile.max_error_count) return std::nullopt;
    return decimal::from_int(*profile.max_error_count);
  }
  if (by.metric == "error_rate") return profile.error_threshold;
  if (by.metric == "latency_p95_ms") return profile.latency_threshold;
  if (by.metric == "cost_cents") return profile.cost_threshold;
  return std::nullopt;
}

void judge(const rule& by, const breach& found, bool auto_rollback, assessment& into) {
  into.breaches.push_back(found);
  const bool rolls_back = by.action == rule_action::roll_back && auto_rollback;
  // Once, when the run reaches the number: an alert at each further sample would bury the first one.
  if (found.breaches == by.alert_at || (!rolls_back && found.breaches == by.consecutive)) {
    into.alerts.push_back(found);
  }
  // At or past it: the number may have been lowered while the run was counted.
  if (rolls_back && found.breaches >= by.consecutive && (!into.rollback || found.level > into.rollback->level)) {
    into.rollback = found;
  }
}

void worst_first(std::vector<breach>& list) {
  std::stable_sort(list.begin(), list.end(), [](const breach& a, const breach& b) { return a.level > b.level; });
}

}  // namespace

std::string_view to_string(comparison value) {
  switch (value) {
    case comparison::below:
      return "<";
    case comparison::above:
      return ">";
    case comparison::increase_above:
      return "increase";
  }
  return "unknown";
}

std::vector<rule> default_rules() {
  using enum comparison;
  using enum messages::breach_severity;
  const auto number = [](std::int64_t millionths) { return decimal::from_millionths(millionths); };
  return {{"success_rate", below, number(900'000), critical, 1, {}, rule_action::roll_back},
          {"error_rate", above, number(100'000), critical, 1, {}, rule_action::roll_back},
          {"latency_p95_ms", above, decimal::from_int(3000), high, 2, {}, rule_action::roll_back},
          {"cost_cents", above, decimal::from_int(10), medium, 5, 1, rule_action::roll_back},
          {"cpu_usage", increase_above, decimal::from_int(50), high, 1, {}, rule_action::roll_back},
          {"error_count", increase_above, decimal::from_int(10), high, 1, {}, rule_action::roll_back}};
}

base::result<rule> parse_rule(std::string_view text) {
  const auto words = words_of(text);
  if (words.size() < 5) return bad_rule(text, "too few words");
  rule parsed;
  parsed.metric = words[0];
  if (!base::is_valid_id(parsed.metric)) return bad_rule(text, "the metric's name is not valid");
  const auto compare = read_comparison(words[1]);
  if (!compare) return bad_rule(text, fmt::format("'{}' is no comparison", words[1]));
  parsed.compare = *compare;
  const auto threshold = decimal::parse(words[2]);
  if (!threshold) return bad_rule(text, fmt::format("'{}' is no number", words[2]));
  parsed.threshold = *threshold;
  const auto level = messages::parse_breach_severity(words[3]);
  if (!level) return bad_rule(text, fmt::format("'{}' is no severity", words[3]));
  parsed.level = *level;
  const auto consecutive = read_count(words[4], max_consecutive);
  if (!consecutive) return bad_rule(text, fmt::format("'{}' is no number from 1 to {}", words[4], max_consecutive));
  parsed.consecutive = *consecutive;
  for (std::size_t i = 5; i < words.size(); ++i) {
    constexpr std::string_view alert_at = "alert_at=";
    const std::string_view word = words[i];
    if (word == "alert_only" && parsed.action == rule_action::roll_back) {
      parsed.action = rule_action::alert;
    } else if (word.starts_with(alert_at) && !parsed.alert_at) {
      parsed.alert_at = read_count(word.substr(alert_at.size()), parsed.consecutive);
      if (!parsed.alert_at) return bad_rule(text, "alert_at must be from 1 to the consecutive breaches");
    } else {
      return bad_rule(text, fmt::format("'{}' is unexpected", word));
    }
  }
  return parsed;
}

std::string format_rule(const rule& value) {
  auto text = fmt::format("{} {} {} {} {}", value.metric, to_string(value.compare), value.threshold.str(),
                          messages::to_string(value.level), value.consecutive);
  if (value.alert_at) text += fmt::format(" alert_at={}", *value.alert_at);
  if (value.action == rule_action::alert) text += " alert_only";
  return text;
}

base::result<std::vector<rule>> parse_rules(std::span<const std::string> texts) {
  if (texts.size() > max_rules) {
    return base::make_error(base::error_kind::invalid_input, fmt::format("more than {} rules", max_rules));
  }
  std::vector<rule> rules;
  std::set<std::string> keys;
  for (const auto& text : texts) {
    auto parsed = parse_rule(text);
    if (!parsed) return parsed.error();
    if (!keys.insert(rule_key(*parsed)).second) {
      return bad_rule(text, "there is one of this metric, comparison and severity already");
    }
    rules.push_back(std::move(*parsed));
  }
  return rules;
}

std::string rule_key(const rule& value) {
  return fmt::format("{} {} {}", value.metric, to_string(value.compare), messages::to_string(value.level));
}

std::vector<rule> with_profile(std::vector<rule> rules, const messages::safety_profile& profile) {
  for (auto& each : rules) each.threshold = profile_value(profile, each).value_or(each.threshold);
  return rules;
}

assessment evaluate(std::span<const rule> rules, const sample& values, const watch_state& state) {
  assessment result;
  result.runs = state.runs;
  if (state.rollback_triggered) return result;
  for (const auto& each : rules) {
    const auto actual = compared_value(each, values);
    if (!actual) continue;
    const auto key = rule_key(each);
    if (!is_breach(each, *actual)) {
      result.runs.erase(key);
      continue;
    }
    const breach found{each.metric, each.compare,       each.threshold,         *actual,
                       each.level,  ++result.runs[key], each.metric + "_breach"};
    judge(each, found, state.auto_rollback, result);
  }
  worst_first(result.breaches);
  worst_first(result.alerts);
  return result;
}

bool metrics_missing(std::chrono::milliseconds since_last, std::chrono::milliseconds expected_interval,
                     std::int64_t intervals) {
  return since_last >= expected_interval * intervals;
}

}  // namespace fleet::central::guardian
