// Exact decimals: rates, confidences and thresholds are compared in integer millionths, never as binary floats.
#pragma once
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "common/base/error.hpp"

namespace fleet::base {

/// A decimal number in whole millionths (range about ±9.2e12). A text with more than six decimals is rounded half
/// away from zero.
class decimal {
 public:
  constexpr decimal() = default;
  static constexpr decimal from_millionths(std::int64_t value) { return decimal(value); }
  static constexpr decimal from_int(std::int64_t value) { return decimal(value * scale); }
  /// "0.85", "-3", "1e-3", "12.5E2". Error: not a finite decimal number, or out of range.
  static result<decimal> parse(std::string_view text);
  /// Exact for every number whose decimal text has at most 15 significant digits: goes through the shortest text that
  /// reads back as the same double. Error: NaN, infinity, out of range.
  static result<decimal> from_double(double value);

  constexpr std::int64_t millionths() const { return value_; }
  double to_double() const { return static_cast<double>(value_) / static_cast<double>(scale); }
  /// Shortest form: "0.85", "3", "-0.5".
  std::string str() const;

  constexpr auto operator<=>(const decimal&) const = default;  // NOLINT(modernize-use-nullptr): a false alarm
  friend constexpr decimal operator+(decimal a, decimal b) { return decimal(a.value_ + b.value_); }
  friend constexpr decimal operator-(decimal a, decimal b) { return decimal(a.value_ - b.value_); }

  static constexpr std::int64_t scale = 1'000'000;

 private:
  explicit constexpr decimal(std::int64_t value) : value_(value) {}
  std::int64_t value_ = 0;
};

}  // namespace fleet::base
