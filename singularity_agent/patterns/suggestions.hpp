// Which confirmed patterns fit a piece of code. Pure.
#pragma once
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <cstddef>
#include <string_view>
#include <vector>

#include "common/base/decimal.hpp"

namespace fleet::agent::patterns {

inline constexpr base::decimal min_similarity = base::decimal::from_millionths(750'000);  ///< more than this
inline constexpr base::decimal min_success_rate = base::decimal::from_millionths(800'000);
inline constexpr std::size_t max_suggestions = 5;

/// Shared / all over the two bags of words and signs (blanks and line ends do not count): 0-1, rounded down to
/// millionths; 0 where either has none.
base::decimal similarity(std::string_view a, std::string_view b);

/// The patterns whose `code_pattern.before` resembles the code most, each with its `similarity`, best first; at most
/// `max_suggestions`.
boost::json::array suggest(std::string_view code, std::vector<boost::json::object> patterns);

}  // namespace fleet::agent::patterns
