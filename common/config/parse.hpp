// Texts of single values to what they mean; shared by checks and getters.
#pragma once
#include <cstdint>
#include <optional>
#include <string_view>

#include "common/config/values.hpp"

namespace fleet::config {

std::optional<std::int64_t> parse_integer(std::string_view text);
std::optional<bool> parse_boolean(std::string_view text);
/// "2/3", "1", "0.75" (as 750000/1000000), never negative, with a denominator of at least 1.
std::optional<ratio> parse_ratio(std::string_view text);

}  // namespace fleet::config
