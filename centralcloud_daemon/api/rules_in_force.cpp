#include "centralcloud_daemon/api/rules_in_force.hpp"

#include <boost/json/array.hpp>

#include "common/messages/reader.hpp"

namespace fleet::central::api {

boost::json::object rules_in_force(const consensus::engine_settings& consensus,
                                   const guardian::watch_settings& guardian, const boost::json::object& profile) {
  boost::json::object vote;
  vote["min_votes"] = consensus.rules.min_votes;
  vote["approval_ratio"] = consensus::to_string(consensus.rules.approval_ratio);
  vote["min_confidence"] = consensus.rules.min_confidence.to_double();
  vote["veto_confidence"] = consensus.rules.veto_confidence.to_double();
  boost::json::array watched;
  const auto bounds = messages::safety_profile::read(messages::reader(profile));
  for (const auto& rule : guardian::with_profile(guardian.rules, bounds)) {
    boost::json::object one;
    one["metric"] = rule.metric;
    one["compare"] = guardian::to_string(rule.compare);
    one["threshold"] = rule.threshold.to_double();
    one["severity"] = messages::to_string(rule.level);
    one["consecutive"] = rule.consecutive;
    one["action"] = rule.action == guardian::rule_action::roll_back ? "roll_back" : "alert";
    watched.push_back(std::move(one));
  }
  boost::json::object all;
  all["consensus"] = std::move(vote);
  all["guardian"] = std::move(watched);
  return all;
}

}  // namespace fleet::central::api
