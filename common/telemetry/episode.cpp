#include "common/telemetry/episode.hpp"

namespace fleet::telemetry {
namespace {

constexpr std::chrono::minutes between_lines{1};

std::int64_t seconds(std::chrono::steady_clock::duration of) {
  return std::chrono::duration_cast<std::chrono::seconds>(of).count();
}

}  // namespace

void episode::occurred(std::string_view reason, std::string_view who, clock::time_point now) {
  if (!under_way()) {
    since_ = now;
    occurrences_ = 0;
    told_ = false;
  }
  ++occurrences_;
  if (told_at_ != clock::time_point{} && now - told_at_ < between_lines) return;
  told_at_ = now;
  told_ = true;
  log_.warning(began_, reason, {{"where", who}, {"occurrences", occurrences_}, {"seconds", seconds(now - since_)}});
}

void episode::over(clock::time_point now) {
  if (!under_way()) return;
  if (told_) log_.info(ended_, meaning_, {{"occurrences", occurrences_}, {"seconds", seconds(now - since_)}});
  since_ = {};
}

}  // namespace fleet::telemetry
