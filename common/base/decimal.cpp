#include "common/base/decimal.hpp"

#include <fmt/format.h>

#include <cmath>

namespace fleet::base {
namespace {

constexpr std::int64_t max_millionths = 9'000'000'000'000'000'000;

struct parts {
  bool negative = false;
  std::string digits;  // without the point
  long exponent = 0;   // value = digits × 10^exponent
};

error not_a_number(std::string_view text) {
  return make_error(error_kind::invalid_input, fmt::format("\"{}\" is not a decimal number", text.substr(0, 40)));
}

bool read_exponent(std::string_view text, long& exponent) {
  bool negative = false;
  if (!text.empty() && (text.front() == '+' || text.front() == '-')) {
    negative = text.front() == '-';
    text.remove_prefix(1);
  }
  if (text.empty() || text.size() > 4) return false;
  long value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return false;
    value = value * 10 + (c - '0');
  }
  exponent += negative ? -value : value;
  return true;
}

bool split(std::string_view text, parts& out) {
  if (!text.empty() && (text.front() == '+' || text.front() == '-')) {
    out.negative = text.front() == '-';
    text.remove_prefix(1);
  }
  bool point = false;
  std::size_t at = 0;
  for (; at < text.size(); ++at) {
    const char c = text[at];
    if (c == '.' && !point) {
      point = true;
    } else if (c >= '0' && c <= '9') {
      out.digits += c;
      if (point) --out.exponent;
    } else {
      break;
    }
  }
  if (out.digits.empty()) return false;
  if (at == text.size()) return true;
  if (text[at] != 'e' && text[at] != 'E') return false;
  return read_exponent(text.substr(at + 1), out.exponent);
}

}  // namespace

result<decimal> decimal::parse(std::string_view text) {
  parts number;
  if (text.size() > 400 || !split(text, number)) return not_a_number(text);
  const long shift = number.exponent + 6;  // to millionths
  std::int64_t value = 0;
  const auto kept = static_cast<long>(number.digits.size()) + std::min(shift, 0L);
  for (long i = 0; i < kept + std::max(shift, 0L); ++i) {
    const int digit =
        i < static_cast<long>(number.digits.size()) ? number.digits[static_cast<std::size_t>(i)] - '0' : 0;
    if (value > (max_millionths - digit) / 10)
      return make_error(error_kind::invalid_input, fmt::format("{} is out of range", text.substr(0, 40)));
    value = value * 10 + digit;
    if (value == 0 && i > static_cast<long>(number.digits.size())) break;  // 0e9999
  }
  if (shift < 0 && kept >= 0 && number.digits[static_cast<std::size_t>(kept)] >= '5') ++value;
  return decimal(number.negative ? -value : value);
}

result<decimal> decimal::from_double(double value) {
  if (!std::isfinite(value)) return make_error(error_kind::invalid_input, "must be a finite number");
  return parse(fmt::format("{}", value));
}

std::string decimal::str() const {
  const bool negative = value_ < 0;
  const auto magnitude = negative ? 0 - static_cast<std::uint64_t>(value_) : static_cast<std::uint64_t>(value_);
  auto text = fmt::format("{}{}", negative ? "-" : "", magnitude / scale);
  if (const auto rest = magnitude % scale; rest != 0) {
    auto fraction = fmt::format("{:06}", rest);
    fraction.erase(fraction.find_last_not_of('0') + 1);
    text += "." + fraction;
  }
  return text;
}

}  // namespace fleet::base
