#include "common/async/event.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <catch2/catch.hpp>

#include "tests/unit/async/run_body.hpp"

using namespace std::chrono_literals;
using boost::asio::awaitable;
using fleet::async::event;
using fleet::async::stop_source;

namespace {

awaitable<void> wait_and_count(event& on, int& woken) {
  const bool notified = co_await on.wait_for(20s);
  if (notified) ++woken;
}

}  // namespace

TEST_CASE("event: a notification with nobody waiting is remembered once") {
  event of;
  of.notify();
  of.notify();
  bool first = false;
  bool second = true;
  fleet::test::run_body([&]() -> awaitable<void> {
    first = co_await of.wait_for(1h);
    second = co_await of.wait_for(1ms);
  });
  CHECK(first);
  CHECK_FALSE(second);
}

TEST_CASE("event: notify wakes the one that waited longest, notify_all everybody") {
  boost::asio::io_context io;
  event of;
  int first = 0;
  int second = 0;
  int third = 0;
  boost::asio::co_spawn(io, wait_and_count(of, first), boost::asio::detached);
  boost::asio::co_spawn(io, wait_and_count(of, second), boost::asio::detached);
  boost::asio::co_spawn(io, wait_and_count(of, third), boost::asio::detached);
  io.poll();
  REQUIRE(of.waiting() == 3);
  of.notify();
  io.poll();
  CHECK(first == 1);
  CHECK(second + third == 0);
  of.notify_all();
  io.poll();
  CHECK(second + third == 2);
  CHECK(of.waiting() == 0);
}

TEST_CASE("event: a soft stop ends the wait") {
  boost::asio::io_context io;
  event of;
  stop_source source(io.get_executor());
  bool notified = true;
  fleet::test::run_body(io, [&]() -> awaitable<void> {
    boost::asio::post(io, [&] { source.request_soft(); });
    notified = co_await of.wait_for(1h, source.token());
  });
  CHECK_FALSE(notified);
}

TEST_CASE("event: a notification to a waiter that was cancelled meanwhile passes to the next") {
  boost::asio::io_context io;
  event of;
  int cancelled = 0;
  int next = 0;
  boost::asio::cancellation_signal cancel;
  boost::asio::co_spawn(io, wait_and_count(of, cancelled),
                        boost::asio::bind_cancellation_slot(cancel.slot(), boost::asio::detached));
  boost::asio::co_spawn(io, wait_and_count(of, next), boost::asio::detached);
  io.poll();
  cancel.emit(boost::asio::cancellation_type::terminal);
  of.notify();
  io.poll();
  CHECK(cancelled + next == 1);
  CHECK(of.waiting() == static_cast<std::size_t>(1 - next));
}
