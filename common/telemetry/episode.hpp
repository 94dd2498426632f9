// Log lines of something that goes wrong again and again, kept few.
#pragma once
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "common/telemetry/log.hpp"

namespace fleet::telemetry {

/// One trouble of many occurrences: a database that is away fails every worker, each every few seconds, for hours.
/// Logged are the first occurrence, then one a minute with how many there were, and the end with how long it was. A
/// trouble that comes back within a minute of its last line waits for that minute, so that one which comes and goes is
/// bounded as well.
class episode {
 public:
  using clock = std::chrono::steady_clock;

  /// `began` and `ended` are event names; `meaning` is what the line of the end says.
  episode(logger log, std::string began, std::string ended, std::string meaning)
      : log_(std::move(log)), began_(std::move(began)), ended_(std::move(ended)), meaning_(std::move(meaning)) {}

  void occurred(std::string_view reason, std::string_view who, clock::time_point now = clock::now());
  void over(clock::time_point now = clock::now());
  bool under_way() const { return since_ != clock::time_point{}; }

 private:
  logger log_;
  std::string began_;
  std::string ended_;
  std::string meaning_;
  clock::time_point since_{};
  clock::time_point told_at_{};
  bool told_ = false;  ///< this episode has a line
  std::uint64_t occurrences_ = 0;
};

}  // namespace fleet::telemetry
