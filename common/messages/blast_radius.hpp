// How far a change reaches: a number (of files, services, … - the fleet's own unit) or one of three words.
#pragma once
#include <boost/json/value.hpp>
#include <optional>
#include <string_view>
#include <variant>

#include "common/base/decimal.hpp"

namespace fleet::messages {

enum class blast_level { low, medium, high };

using blast_radius = std::variant<base::decimal, blast_level>;

/// Nothing where the value is neither a number of at least 0 nor "low", "medium" or "high".
std::optional<blast_radius> parse_blast_radius(const boost::json::value& value);
boost::json::value to_json(const blast_radius& value);
std::string_view to_string(blast_level level);

/// Whether `actual` is beyond `bound`; nothing where one is a number and the other a word.
std::optional<bool> exceeds(const blast_radius& actual, const blast_radius& bound);

}  // namespace fleet::messages
