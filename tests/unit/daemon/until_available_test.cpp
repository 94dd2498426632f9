#include "common/daemon/until_available.hpp"

#include <boost/asio/io_context.hpp>
#include <catch2/catch.hpp>

#include "common/base/error.hpp"
#include "tests/support/run.hpp"

using namespace fleet;
using boost::asio::awaitable;

namespace {

const auto silent = telemetry::logger::none();

std::function<awaitable<void>()> failing(int& calls, int times, base::error_kind kind) {
  return [&calls, times, kind]() -> awaitable<void> {
    if (++calls <= times) throw base::failure(base::make_error(kind, "not now"));
    co_return;
  };
}

}  // namespace

TEST_CASE("until available: what is away is waited for, anything else is passed on") {
  boost::asio::io_context io;
  async::stop_source stop(io.get_executor());
  int calls = 0;
  CHECK(test::run(io, daemon::until_available(stop.token(), silent, failing(calls, 2, base::error_kind::unavailable))));
  CHECK(calls == 3);
  calls = 0;
  CHECK_THROWS_AS(
      test::run(io, daemon::until_available(stop.token(), silent, failing(calls, 2, base::error_kind::refused))),
      base::failure);
  CHECK(calls == 1);
}

TEST_CASE("until available: a stop ends the wait") {
  boost::asio::io_context io;
  async::stop_source stop(io.get_executor());
  int calls = 0;
  const auto work = [&]() -> awaitable<void> {
    if (++calls == 2) stop.request_soft();
    throw base::failure(base::make_error(base::error_kind::timeout, "not now"));
    co_return;
  };
  CHECK_FALSE(test::run(io, daemon::until_available(stop.token(), silent, work)));
  CHECK(calls == 2);
}
