// The Guardian's rules: samples of an applied change in, breaches, alerts and at most one rollback out. Pure values.
#pragma once
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/decimal.hpp"
#include "common/base/error.hpp"
#include "common/messages/metrics.hpp"
#include "common/messages/rollback_trigger.hpp"
#include "common/messages/safety_profile.hpp"

namespace fleet::central::guardian {

using messages::metric_set;
using severity = messages::breach_severity;

enum class comparison {
  below,          ///< breach: after < threshold
  above,          ///< breach: after > threshold
  increase_above  ///< breach: after − before > threshold
};
enum class rule_action { roll_back, alert };

std::string_view to_string(comparison value);  ///< the sign of the text form: "<", ">", "increase"

struct rule {
  std::string metric;
  comparison compare = comparison::above;
  base::decimal threshold;  ///< in the metric's unit; a value on it is no breach
  severity level = severity::medium;
  std::int64_t consecutive = 1;          ///< breaches in a row until the action, 1-1000
  std::optional<std::int64_t> alert_at;  ///< an alert already at this many breaches in a row; 1-consecutive
  rule_action action = rule_action::roll_back;
  bool operator==(const rule&) const = default;
};

/// The table of defaults: success_rate, error_rate, latency_p95_ms, cost_cents, cpu_usage and error_count increases.
std::vector<rule> default_rules();

/// `<metric> <|>|increase> <threshold> <low|medium|high|critical> <consecutive> [alert_at=<n>] [alert_only]`, separated
/// by blanks: "success_rate < 0.90 critical 1", "cost_cents > 10 medium 5 alert_at=1". Error `invalid_input` names the
/// word.
base::result<rule> parse_rule(std::string_view text);
std::string format_rule(const rule& value);
/// Parses one rule a text. Error `invalid_input`: a text that is no rule, or two rules with the same `rule_key`, or
/// more than 100.
base::result<std::vector<rule>> parse_rules(std::span<const std::string> texts);

/// What a rule's run of breaches is kept under: metric, comparison and severity, so that a changed threshold keeps it.
std::string rule_key(const rule& value);

/// The rules with the thresholds that the profile names in place of their own, in every rule of that metric and
/// comparison: success_rate below, error_rate, latency_p95_ms and cost_cents above, error_count increase.
std::vector<rule> with_profile(std::vector<rule> rules, const messages::safety_profile& profile);

/// Breaches in a row so far, by `rule_key`; only runs above 0 are kept.
using run_counts = std::map<std::string, std::int64_t>;

struct sample {
  const metric_set& before;  ///< the baseline that was taken before the change; metrics may be missing
  const metric_set& after;
};

struct watch_state {
  run_counts runs;
  bool auto_rollback = true;        ///< of the safety profile; false turns a rollback into an alert
  bool rollback_triggered = false;  ///< once true, no sample changes anything
};

struct breach {
  std::string metric;
  comparison compare = comparison::above;
  base::decimal bound;
  base::decimal actual;  ///< what was compared: the value after, or the increase
  severity level = severity::medium;
  std::int64_t breaches = 1;  ///< in a row, this sample included
  std::string reason;         ///< `<metric>_breach`
};

struct assessment {
  run_counts runs;
  std::vector<breach> breaches;    ///< of this sample, worst severity first, then in the rules' order
  std::vector<breach> alerts;      ///< those of them that a person is to be told of now
  std::optional<breach> rollback;  ///< the first of them that asks for a rollback
};

/// Judges one sample. A metric that is missing (for an increase: on either side) leaves its run as it was.
assessment evaluate(std::span<const rule> rules, const sample& values, const watch_state& state);

/// Whether the samples of a watched change have stopped: none for `intervals` expected intervals (`metrics_missing`).
bool metrics_missing(std::chrono::milliseconds since_last, std::chrono::milliseconds expected_interval,
                     std::int64_t intervals = 3);

}  // namespace fleet::central::guardian
