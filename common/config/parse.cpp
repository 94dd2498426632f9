#include "common/config/parse.hpp"

#include <charconv>
#include <numeric>
#include <string>

namespace fleet::config {

std::optional<std::int64_t> parse_integer(std::string_view text) {
  std::int64_t number = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (ec != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::optional<bool> parse_boolean(std::string_view text) {
  if (text == "true" || text == "yes" || text == "on" || text == "1") return true;
  if (text == "false" || text == "no" || text == "off" || text == "0") return false;
  return std::nullopt;
}

std::optional<ratio> parse_ratio(std::string_view text) {
  constexpr std::int64_t limit = 1'000'000'000;
  ratio parsed;
  if (const auto slash = text.find('/'); slash != std::string_view::npos) {
    const auto numerator = parse_integer(text.substr(0, slash));
    const auto denominator = parse_integer(text.substr(slash + 1));
    if (!numerator || !denominator) return std::nullopt;
    parsed = {*numerator, *denominator};
  } else {
    const auto number = base::decimal::parse(text);
    if (!number) return std::nullopt;
    parsed = {number->millionths(), base::decimal::scale};
    const auto common = std::gcd(parsed.numerator, parsed.denominator);
    parsed = {parsed.numerator / common, parsed.denominator / common};
  }
  if (parsed.numerator < 0 || parsed.numerator > limit || parsed.denominator < 1 || parsed.denominator > limit)
    return std::nullopt;
  return parsed;
}

}  // namespace fleet::config
