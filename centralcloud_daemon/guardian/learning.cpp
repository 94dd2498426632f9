#include "centralcloud_daemon/guardian/learning.hpp"

#include <algorithm>
#include <cstdint>
#include <limits>

namespace fleet::central::guardian {
namespace {

using base::decimal;

// Percentile and margin are products and sums of values out of messages: they need more room than 64 bits.
__extension__ typedef __int128 wide;

decimal to_decimal(wide millionths) {
  constexpr wide low = std::numeric_limits<std::int64_t>::min();
  constexpr wide high = std::numeric_limits<std::int64_t>::max();
  return decimal::from_millionths(static_cast<std::int64_t>(std::clamp(millionths, low, high)));
}

wide margin_of(const learning_rule& how, decimal percentile) {
  const wide size = percentile.millionths() < 0 ? -static_cast<wide>(percentile.millionths()) : percentile.millionths();
  const wide relative = size * how.relative_margin.millionths() / decimal::scale;
  return std::max<wide>(how.margin.millionths(), relative);
}

decimal learned_bound(const learning_rule& how, std::span<const decimal> samples) {
  if (how.worse == direction::must_not_rise) {
    const auto percentile = nearest_rank(samples, 99);
    const auto bound = to_decimal(static_cast<wide>(percentile.millionths()) + margin_of(how, percentile));
    // The ceiling comes last: it holds even where the settings contradict each other.
    return std::min(std::max(bound, how.strictest), how.loosest);
  }
  const auto percentile = nearest_rank(samples, 1);
  const auto bound = to_decimal(static_cast<wide>(percentile.millionths()) - margin_of(how, percentile));
  return std::max(std::min(bound, how.strictest), how.loosest);
}

bool moves_enough(const learning_rule& how, decimal from, decimal to) {
  const wide move = static_cast<wide>(to.millionths()) - from.millionths();
  return (move < 0 ? -move : move) > how.step.millionths();
}

}  // namespace

learning_settings default_learning() {
  const auto number = [](std::int64_t millionths) { return decimal::from_millionths(millionths); };
  const auto whole = [](std::int64_t value) { return decimal::from_int(value); };
  learning_settings settings;
  settings.rules = {
      {"success_rate", direction::must_not_fall, number(900'000), number(980'000), number(20'000), {}, number(10'000)},
      {"error_rate", direction::must_not_rise, number(100'000), number(20'000), number(20'000), {}, number(10'000)},
      {"latency_p95_ms", direction::must_not_rise, whole(3000), whole(200), whole(50), number(200'000), whole(50)},
      {"cost_cents", direction::must_not_rise, whole(10), whole(1), number(500'000), number(200'000), number(500'000)},
      {"error_count", direction::must_not_rise, whole(10), whole(3), whole(2), {}, whole(1)}};
  return settings;
}

decimal nearest_rank(std::span<const decimal> samples, int percent) {
  std::vector<decimal> sorted(samples.begin(), samples.end());
  const auto rank = (static_cast<std::size_t>(percent) * sorted.size() + 99) / 100;  // ceil, from 1
  const auto at = sorted.begin() + static_cast<std::ptrdiff_t>(rank - 1);
  std::nth_element(sorted.begin(), at, sorted.end());
  return *at;
}

std::optional<threshold_update> propose_threshold(const learning_rule& how, std::size_t min_samples,
                                                  std::optional<decimal> current, std::span<const decimal> samples) {
  if (samples.empty() || samples.size() < min_samples) return std::nullopt;
  const auto bound = learned_bound(how, samples);
  if (current && !moves_enough(how, *current, bound)) return std::nullopt;
  return threshold_update{how.metric, current, bound, samples.size()};
}

std::vector<threshold_update> propose_updates(const learning_settings& settings,
                                              const std::map<std::string, decimal>& current,
                                              const std::map<std::string, std::vector<decimal>>& samples) {
  std::vector<threshold_update> updates;
  for (const auto& how : settings.rules) {
    const auto measured = samples.find(how.metric);
    if (measured == samples.end()) continue;
    const auto now = current.find(how.metric);
    const auto from = now == current.end() ? std::nullopt : std::optional(now->second);
    if (auto update = propose_threshold(how, settings.min_samples, from, measured->second)) {
      updates.push_back(std::move(*update));
    }
  }
  return updates;
}

}  // namespace fleet::central::guardian
