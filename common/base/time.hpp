// Wall-clock time: the injectable clock, and RFC 3339 text.
#pragma once
#include <chrono>
#include <string>
#include <string_view>

#include "common/base/error.hpp"

namespace fleet::base {

/// Microseconds, as PostgreSQL keeps them.
using timestamp = std::chrono::time_point<std::chrono::system_clock, std::chrono::microseconds>;

/// Where code asks for the wall-clock time, so that a test can say what time it is. Order and deadlines that several
/// processes share use the database's clock, not this one.
class clock {
 public:
  virtual ~clock() = default;
  virtual timestamp now() const = 0;
};

const clock& system_clock();

/// "2026-01-31T12:00:00.123456Z".
std::string format_rfc3339(timestamp at);
/// RFC 3339 with any offset; fractions beyond microseconds are cut. Error: not such a text, or outside the years 1-9999
/// in UTC.
result<timestamp> parse_rfc3339(std::string_view text);

}  // namespace fleet::base
