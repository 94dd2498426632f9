// The rules that a proposal is judged by, for people to hold its figures against.
#pragma once
#include <boost/json/object.hpp>

#include "centralcloud_daemon/consensus/engine.hpp"
#include "centralcloud_daemon/guardian/watch.hpp"

namespace fleet::central::api {

/// {consensus: {min_votes, approval_ratio, min_confidence, veto_confidence}, guardian: [{metric, compare, threshold,
/// severity, consecutive, action}]}: as configured now, the Guardian's with the bounds of the safety profile.
boost::json::object rules_in_force(const consensus::engine_settings& consensus,
                                   const guardian::watch_settings& guardian, const boost::json::object& profile);

}  // namespace fleet::central::api
