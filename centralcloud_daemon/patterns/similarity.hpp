// How alike two pieces of code are, and a pattern's fingerprint. Pure; the language of the code is not known.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/decimal.hpp"

namespace fleet::central::patterns {

/// What to do with what looks like a comment. Where a decision about safety hangs on the result, keep them: `//` is a
/// comment in C++ and a division in Python, so that code could hide behind it.
enum class comments { drop, keep };

/// The normal form of a piece of code, made once and compared many times.
struct code_shape {
  std::vector<std::uint64_t> shingles;  ///< hashes of 3 neighbouring tokens, sorted, with repetitions
  std::string digest;                   ///< of all tokens: equal exactly where the normal forms are
  bool truncated = false;               ///< above `max_tokens`: can only be compared as a whole
};

/// Codes above it are compared as a whole only: equal or not.
inline constexpr std::size_t max_tokens = 20'000;
/// Longer codes are not compared with hundreds of others, which would take minutes: nothing but an equal fingerprint
/// finds what they resemble.
inline constexpr std::size_t max_compared_bytes = 64 * 1024;

/// Parts of `code`. Splits the code into words, numbers, string literals and single signs; blanks, line ends and (if
/// dropped) comments
/// `//…`, `/*…*/`, `# …`, `-- …` do not count.
std::vector<std::string_view> tokens_of(std::string_view code, comments handling = comments::drop);
code_shape shape_of(std::string_view code, comments handling = comments::drop);

/// Jaccard resemblance of the two bags of shingles (Broder 1997): shared / all, 0-1, rounded down to millionths, so
/// that no bound is reached by rounding. 1 only for the same bag; 0 where either has no token: nothing resembles
/// nothing.
base::decimal similarity(const code_shape& a, const code_shape& b);
base::decimal similarity(std::string_view a, std::string_view b, comments handling = comments::drop);

/// The highest similarity to one of the others; those above `max_compared_bytes` are passed over. Nothing where there
/// is none, or the code is longer itself. May take a second: not for a loop's thread.
std::optional<base::decimal> best_similarity(std::string_view code, std::span<const std::string> others,
                                             comments handling);

/// The key of a pattern: a UUID (version 5) over its type and its normalized code, the same on every machine.
std::string fingerprint(std::string_view pattern_type, std::string_view code);

}  // namespace fleet::central::patterns
