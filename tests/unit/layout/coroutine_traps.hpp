// Finds what g++ 12 miscompiles silently: temporaries with owners in a full-expression that has `co_await` (double
// free), and a condition that awaits (in a coroutine without a local in its outermost scope the frame is not
// initialized).
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace fleet::layout {

struct trap {
  int line = 0;      ///< of the co_await
  std::string what;  ///< "capturing lambda", "braces", "?:" or "condition"
};

/// Looks at every full-expression with `co_await`. Works on text, not on a syntax tree: it can be fooled by macros.
/// A lambda without captures is allowed, and what its body holds is looked at by itself.
std::vector<trap> find_traps(std::string_view text);

}  // namespace fleet::layout
