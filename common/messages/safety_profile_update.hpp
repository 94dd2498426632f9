// Coordinator → one instance or all: new bounds for an agent type.
#pragma once
#include <boost/json/object.hpp>
#include <string>
#include <string_view>

#include "common/base/error.hpp"
#include "common/base/ids.hpp"
#include "common/base/time.hpp"
#include "common/messages/safety_profile.hpp"

namespace fleet::messages {

/// The instance id that addresses every instance.
inline constexpr std::string_view broadcast_instance = "broadcast";

struct safety_profile_update {
  static constexpr std::string_view type_name = "safety_profile_update";

  base::instance_id instance_id;  ///< the addressee, or `broadcast_instance`
  std::string agent_type;
  safety_profile profile;  ///< field `safety_profile`
  std::string source;      ///< `guardian_learning`, `operator`, …
  base::timestamp timestamp;

  /// Error `invalid_input` with every wrong field.
  static base::result<safety_profile_update> decode(const boost::json::object& message);
  boost::json::object encode() const;
  bool operator==(const safety_profile_update&) const = default;
};

}  // namespace fleet::messages
