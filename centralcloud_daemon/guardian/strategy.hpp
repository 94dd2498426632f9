// How a change of a certain type is taken back: the steps that go out with a rollback trigger. Pure values.
#pragma once
#include <cstdint>
#include <string_view>

#include "common/messages/rollback_trigger.hpp"

namespace fleet::central::guardian {

/// How the ended rollbacks of a change type really went in this installation.
struct rollback_record {
  std::int64_t ended = 0;
  std::int64_t succeeded = 0;  ///< of `ended`
};

using messages::rollback_strategy;

/// The strategy of `metadata.change_type`; an unknown or empty one gets the general strategy.
/// Its success rate is rounded down, and absent before any rollback of the type has ended.
rollback_strategy strategy_for(std::string_view change_type, const rollback_record& record = {});

}  // namespace fleet::central::guardian
