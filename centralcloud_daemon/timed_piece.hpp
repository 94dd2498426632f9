// One piece of timed work: what it passes over, and what it has in hand.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "common/base/ids.hpp"

namespace fleet::central {

struct timed_piece {
  std::vector<std::string> skipped;  ///< proposals that failed a moment ago, and would fail again
  std::optional<base::proposal_id>
      in_hand{};  ///< set as soon as one was taken, so that its failure is known as its own
};

}  // namespace fleet::central
