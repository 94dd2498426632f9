#include "centralcloud_daemon/guardian/profile_bounds.hpp"

#include <string_view>

#include "common/messages/reader.hpp"

namespace fleet::central::guardian {
namespace {

std::string_view measure_of(const learning_rule& how) {
  if (how.metric == "error_count") return "rise";
  return how.worse == direction::must_not_fall ? "low" : "high";
}

}  // namespace

std::map<std::string, base::decimal> current_thresholds(const messages::safety_profile& profile,
                                                        std::span<const rule> rules) {
  std::map<std::string, base::decimal> current;
  const auto in_force = with_profile(std::vector<rule>(rules.begin(), rules.end()), profile);
  for (const auto& each : in_force) current.emplace(each.metric, each.threshold);
  return current;
}

void set_threshold(messages::safety_profile& profile, const threshold_update& update) {
  if (update.metric == "success_rate") profile.success_rate = update.to;
  if (update.metric == "error_rate") profile.error_threshold = update.to;
  if (update.metric == "latency_p95_ms") profile.latency_threshold = update.to;
  if (update.metric == "cost_cents") profile.cost_threshold = update.to;
  // A count above the bound breaches, so the part after the point never matters.
  if (update.metric == "error_count") profile.max_error_count = update.to.millionths() / base::decimal::scale;
}

std::map<std::string, std::vector<base::decimal>> learning_samples(const learning_settings& settings,
                                                                   std::span<const boost::json::object> measures) {
  std::map<std::string, std::vector<base::decimal>> samples;
  for (const auto& how : settings.rules) {
    auto& values = samples[how.metric];
    for (const auto& measured : measures) {
      const auto* metric = measured.if_contains(how.metric);
      if (metric == nullptr || !metric->is_object()) continue;
      const auto* worst = metric->get_object().if_contains(measure_of(how));
      if (worst == nullptr || !worst->is_number()) continue;
      if (const auto value = messages::to_decimal(*worst)) values.push_back(*value);
    }
  }
  return samples;
}

}  // namespace fleet::central::guardian
