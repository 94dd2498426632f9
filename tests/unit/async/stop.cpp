#include "common/async/stop.hpp"

#include <boost/asio/post.hpp>
#include <catch2/catch.hpp>

#include "tests/unit/async/run_body.hpp"

using namespace std::chrono_literals;
using boost::asio::awaitable;
using fleet::async::stop_source;
using fleet::async::stop_token;
using fleet::async::subscription;
using steady = std::chrono::steady_clock;

TEST_CASE("stop: a soft stop ends a sleep at once, a sleep after it does not begin") {
  boost::asio::io_context io;
  stop_source source(io.get_executor());
  bool slept = true;
  bool slept_again = true;
  const auto began = steady::now();
  fleet::test::run_body(io, [&]() -> awaitable<void> {
    boost::asio::post(io, [&] { source.request_soft(); });
    slept = co_await source.token().sleep_for(1h);
    slept_again = co_await source.token().sleep_for(1h);
  });
  CHECK_FALSE(slept);
  CHECK_FALSE(slept_again);
  CHECK(steady::now() - began < 20s);
}

TEST_CASE("stop: a sleep nobody ends lasts its time") {
  bool slept = false;
  const auto began = steady::now();
  fleet::test::run_body([&]() -> awaitable<void> { slept = co_await stop_token().sleep_for(20ms); });
  CHECK(slept);
  CHECK(steady::now() - began >= 20ms);
}

TEST_CASE("stop: a hard stop is a soft one too, and calls back once, in order") {
  boost::asio::io_context io;
  stop_source source(io.get_executor());
  std::string calls;
  const auto soft = source.token().on_soft([&] { calls += "s"; });
  const auto hard = source.token().on_hard([&] { calls += "h"; });
  CHECK_FALSE(source.token().soft_requested());
  source.request_hard();
  source.request_hard();
  source.request_soft();
  CHECK(calls == "sh");
  CHECK(source.token().soft_requested());
  CHECK(source.token().hard_requested());
}

TEST_CASE("stop: a subscription that is gone is not called, also when another callback drops it") {
  boost::asio::io_context io;
  stop_source source(io.get_executor());
  int calls = 0;
  {
    const auto gone = source.token().on_soft([&] { ++calls; });
  }
  subscription second;
  const auto first = source.token().on_soft([&] { second.reset(); });
  second = source.token().on_soft([&] { ++calls; });
  source.request_soft();
  CHECK(calls == 0);
}

TEST_CASE("stop: subscribing after the request calls at once; a token outlives its source") {
  boost::asio::io_context io;
  stop_token token;
  {
    stop_source source(io.get_executor());
    token = source.token();
    source.request_soft();
  }
  int calls = 0;
  const auto late = token.on_soft([&] { ++calls; });
  const auto never = token.on_hard([&] { ++calls; });
  CHECK(calls == 1);
}
