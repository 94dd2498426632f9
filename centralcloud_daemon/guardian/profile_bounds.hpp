// Between the fields of a safety profile and the metrics that the Guardian's rules and learning name. Pure.
#pragma once
#include <boost/json/object.hpp>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "centralcloud_daemon/guardian/learning.hpp"
#include "centralcloud_daemon/guardian/rules.hpp"
#include "common/messages/safety_profile.hpp"

namespace fleet::central::guardian {

/// Metric → threshold in force: the profile's, else the rules' own.
std::map<std::string, base::decimal> current_thresholds(const messages::safety_profile& profile,
                                                        std::span<const rule> rules);
/// Puts a learned threshold into its field; a metric without a field changes nothing.
void set_threshold(messages::safety_profile& profile, const threshold_update& update);

/// Metric → one value a confirmed change: its worst, from {metric: {low, high, rise}}; for `error_count` the rise.
std::map<std::string, std::vector<base::decimal>> learning_samples(const learning_settings& settings,
                                                                   std::span<const boost::json::object> measures);

}  // namespace fleet::central::guardian
