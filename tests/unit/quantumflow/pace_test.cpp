#include "common/quantumflow/pace.hpp"

#include <catch2/catch.hpp>

using namespace fleet::quantumflow;
using namespace std::chrono_literals;

TEST_CASE("pace: a batch that was full and fast is doubled, up to the largest") {
  const pace_limits limits;
  CHECK(next_batch_size(limits, 100, 100, 20ms) == 200);
  CHECK(next_batch_size(limits, 600, 600, 20ms) == 1000);
  CHECK(next_batch_size(limits, 1000, 1000, 20ms) == 1000);
  CHECK(next_batch_size(limits, 100, 100, 100ms) == 100);  // not fast: half of what it may last
  CHECK(next_batch_size(limits, 100, 99, 1ms) == 100);     // not full
}

TEST_CASE("pace: a worker stays up for longer the more sessions its notification would wake, and not for a few") {
  CHECK(stay_up(0) == 0ms);
  CHECK(stay_up(24) == 0ms);
  CHECK(stay_up(25) == 12ms);
  CHECK(stay_up(200) == 100ms);
  CHECK(stay_up(100'000) == 100ms);
}

TEST_CASE("pace: a batch that lasted too long is made to fit") {
  const pace_limits limits;
  CHECK(next_batch_size(limits, 100, 100, 400ms) == 50);
  CHECK(next_batch_size(limits, 1000, 40, 400ms) == 20);
  CHECK(next_batch_size(limits, 100, 1, 60s) == 1);
  CHECK(next_batch_size(limits, 100, 0, 60s) == 100);
  CHECK(next_batch_size(limits, 100, 100, 200ms) == 100);  // on the border
}

TEST_CASE("pace: only a dense stream of small batches is waited for") {
  const pace_limits limits;
  CHECK(linger_before_next(limits, 100, 15, 3ms, true) == 5ms);   // 5000 a second
  CHECK(linger_before_next(limits, 100, 15, 15ms, true) == 5ms);  // 1000: on the border
  CHECK(linger_before_next(limits, 100, 15, 16ms, true) == 0ms);
  CHECK(linger_before_next(limits, 100, 2, 500us, true) == 0ms);  // two that came side by side: no stream
  CHECK(linger_before_next(limits, 100, 4, 1ms, true) == 0ms);
  CHECK(linger_before_next(limits, 100, 5, 1ms, true) == 5ms);
  CHECK(linger_before_next(limits, 100, 1, 100us, true) == 0ms);  // one: perhaps the only one
  CHECK(linger_before_next(limits, 100, 0, 1ms, true) == 0ms);
  CHECK(linger_before_next(limits, 100, 100, 3ms, true) == 0ms);  // full: more waits already
  CHECK(linger_before_next(limits, 100, 15, 3ms, false) == 0ms);  // other lanes have work
}
