#include "common/base/time.hpp"

#include <fmt/format.h>

#include <optional>

namespace fleet::base {
namespace {

class real_clock final : public clock {
 public:
  timestamp now() const override {
    return std::chrono::time_point_cast<std::chrono::microseconds>(std::chrono::system_clock::now());
  }
};

/// Takes exactly `width` digits off the front of `text`.
std::optional<int> take_number(std::string_view& text, std::size_t width) {
  if (text.size() < width) return std::nullopt;
  int value = 0;
  for (std::size_t i = 0; i < width; ++i) {
    if (text[i] < '0' || text[i] > '9') return std::nullopt;
    value = value * 10 + (text[i] - '0');
  }
  text.remove_prefix(width);
  return value;
}

bool take_char(std::string_view& text, std::string_view any_of) {
  if (text.empty() || any_of.find(text.front()) == std::string_view::npos) return false;
  text.remove_prefix(1);
  return true;
}

std::optional<std::chrono::microseconds> take_fraction(std::string_view& text) {
  if (!take_char(text, ".")) return std::chrono::microseconds(0);
  std::int64_t value = 0;
  int digits = 0;
  while (!text.empty() && text.front() >= '0' && text.front() <= '9') {
    if (digits < 6) value = value * 10 + (text.front() - '0');
    ++digits;
    text.remove_prefix(1);
  }
  if (digits == 0) return std::nullopt;
  for (; digits < 6; ++digits) value *= 10;
  return std::chrono::microseconds(value);
}

std::optional<std::chrono::minutes> take_offset(std::string_view& text) {
  if (take_char(text, "Zz")) return std::chrono::minutes(0);
  const bool negative = !text.empty() && text.front() == '-';
  if (!take_char(text, "+-")) return std::nullopt;
  const auto hours = take_number(text, 2);
  if (!hours || !take_char(text, ":")) return std::nullopt;
  const auto minutes = take_number(text, 2);
  if (!minutes || *hours > 23 || *minutes > 59) return std::nullopt;
  const std::chrono::minutes offset(*hours * 60 + *minutes);
  return negative ? -offset : offset;
}

}  // namespace

const clock& system_clock() {
  static const real_clock instance;
  return instance;
}

std::string format_rfc3339(timestamp at) {
  const auto day = std::chrono::floor<std::chrono::days>(at);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss time(at - day);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()), time.hours().count(),
                     time.minutes().count(), time.seconds().count(), time.subseconds().count());
}

result<timestamp> parse_rfc3339(std::string_view text) {
  const auto wrong = [] {
    return make_error(error_kind::invalid_input, "expected an RFC 3339 time such as 2026-01-31T12:00:00.000Z");
  };
  const auto year = take_number(text, 4);
  if (!year || !take_char(text, "-")) return wrong();
  const auto month = take_number(text, 2);
  if (!month || !take_char(text, "-")) return wrong();
  const auto day = take_number(text, 2);
  if (!day || !take_char(text, "Tt ")) return wrong();
  const auto hour = take_number(text, 2);
  if (!hour || !take_char(text, ":")) return wrong();
  const auto minute = take_number(text, 2);
  if (!minute || !take_char(text, ":")) return wrong();
  const auto second = take_number(text, 2);
  if (!second) return wrong();
  const auto fraction = take_fraction(text);
  if (!fraction) return wrong();
  const auto offset = take_offset(text);
  const std::chrono::year_month_day date(std::chrono::year(*year), std::chrono::month(static_cast<unsigned>(*month)),
                                         std::chrono::day(static_cast<unsigned>(*day)));
  if (!offset || !text.empty() || !date.ok() || *hour > 23 || *minute > 59 || *second > 60) return wrong();
  const timestamp at = timestamp(std::chrono::sys_days(date)) + std::chrono::hours(*hour) +
                       std::chrono::minutes(*minute) + std::chrono::seconds(*second) + *fraction - *offset;
  // Outside these years PostgreSQL or our own text form could not take it (an offset can lead there from inside).
  const std::chrono::year_month_day utc(std::chrono::floor<std::chrono::days>(at));
  if (utc.year() < std::chrono::year(1) || utc.year() > std::chrono::year(9999)) return wrong();
  return at;
}

}  // namespace fleet::base
