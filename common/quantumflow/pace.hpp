// How much a consumer takes at once, and whether it waits a moment for more. Pure.
#pragma once
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace fleet::quantumflow {

struct pace_limits {
  int smallest = 1;
  int largest = 1000;
  std::chrono::milliseconds longest_batch{200};  ///< what a batch should last at most: others wait behind it
  double busy_rate = 1000;                       ///< messages a second from which on waiting pays
  std::chrono::milliseconds linger{5};
};

/// The size of the next batch: doubled where one of the size asked for was handled in less than half of the time it may
/// last, and made to fit where it lasted longer.
int next_batch_size(const pace_limits& limits, int asked, std::size_t handled, std::chrono::nanoseconds took);

/// How long to wait before the next batch. Under a stream of single messages a few milliseconds gather many into one
/// commit; a batch that was full, a lone message and a slow stream wait for nothing. `since_last`: from the begin of
/// this batch back to the begin of the one before; the rate is taken over no less than the linger. `same_lane`: both
/// were of one lane; otherwise other lanes have work, and until this one's turn comes again it has gathered.
std::chrono::milliseconds linger_before_next(const pace_limits& limits, int asked, std::size_t handled,
                                             std::chrono::nanoseconds since_last, bool same_lane);

/// Between two looks of a worker that stays up.
inline constexpr std::chrono::milliseconds look_while_up{5};

/// How long a worker that had something stays up, looking by itself, before it lies down and has to be notified. A
/// notification wakes every listening session of the database, whatever its channel: with `listeners` of them it costs
/// about listeners × 0.2 ms of the server's processor (measured with 300), a look half a millisecond. Nothing for a few
/// listeners, a tenth of a second for hundreds.
std::chrono::milliseconds stay_up(std::int64_t listeners);

}  // namespace fleet::quantumflow
