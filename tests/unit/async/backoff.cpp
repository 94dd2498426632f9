#include "common/async/backoff.hpp"

#include <catch2/catch.hpp>

using namespace std::chrono_literals;
using fleet::async::backoff;
using fleet::async::backoff_delay;
using fleet::async::backoff_policy;

TEST_CASE("backoff: doubles up to the cap, and starts anew after a success") {
  backoff of(backoff_policy{100ms, 1s, 2.0, 0.0});
  CHECK(of.next(0.5) == 100ms);
  CHECK(of.next(0.5) == 200ms);
  CHECK(of.next(0.5) == 400ms);
  CHECK(of.next(0.5) == 800ms);
  CHECK(of.next(0.5) == 1s);
  CHECK(of.next(0.5) == 1s);
  of.reset();
  CHECK(of.next(0.5) == 100ms);
}

TEST_CASE("backoff: jitter lengthens by at most its part, and still spreads delays at the cap") {
  const backoff_policy policy{100ms, 1200ms, 2.0, 0.2};
  CHECK(backoff_delay(policy, 1, 0.0) == 100ms);
  CHECK(backoff_delay(policy, 1, 1.0) == 120ms);
  CHECK(backoff_delay(policy, 3, 0.5) == 440ms);
  CHECK(backoff_delay(policy, 50, 0.0) == 1000ms);
  CHECK(backoff_delay(policy, 50, 1.0) == 1200ms);
}

TEST_CASE("backoff: a huge number of failures neither overflows nor exceeds the cap") {
  const backoff_policy policy{1ms, 24h, 10.0, 1.0};
  for (const unsigned failures : {0U, 1U, 100U, 4'000'000'000U}) {
    const auto delay = backoff_delay(policy, failures, 1.0);
    CHECK(delay > 0ns);
    CHECK(delay <= 24h);
  }
}
