#include "common/async/blocking_pool.hpp"

#include <catch2/catch.hpp>
#include <future>
#include <thread>

#include "common/base/error.hpp"
#include "tests/unit/async/run_body.hpp"

using namespace std::chrono_literals;
using boost::asio::awaitable;
using fleet::async::blocking_pool;

TEST_CASE("blocking pool: runs elsewhere, resumes on the caller's thread, hands over results and exceptions") {
  boost::asio::io_context io;
  const auto here = std::this_thread::get_id();
  std::thread::id ran;
  std::thread::id resumed;
  std::unique_ptr<int> value;
  std::string failure;
  {
    blocking_pool pool(2);
    fleet::test::run_body(io, [&]() -> awaitable<void> {
      auto work = [&ran] {
        ran = std::this_thread::get_id();
        return std::make_unique<int>(7);
      };
      value = co_await pool.run(std::move(work));
      resumed = std::this_thread::get_id();
      auto broken = [] { throw std::runtime_error("no"); };
      try {
        co_await pool.run(std::move(broken));
      } catch (const std::runtime_error& error) {
        failure = error.what();
      }
    });
  }
  CHECK(ran != here);
  CHECK(resumed == here);
  REQUIRE(value);
  CHECK(*value == 7);
  CHECK(failure == "no");
}

TEST_CASE("blocking pool: run_for gives up waiting at its limit, the call still ends by itself") {
  boost::asio::io_context io;
  std::promise<void> gate;
  bool gave_up = false;
  fleet::test::run_body(io, [&]() -> awaitable<void> {
    auto& pool = blocking_pool::of(io.get_executor());
    auto work = [opened = gate.get_future().share()] { opened.wait(); };
    const auto answer = co_await pool.run_for(std::move(work), 20ms);
    gave_up = !answer;
  });
  CHECK(gave_up);
  gate.set_value();
}

TEST_CASE("blocking pool: more unfinished calls than allowed are refused") {
  boost::asio::io_context io;
  std::promise<void> gate;
  auto kind = fleet::base::error_kind::internal;
  {
    blocking_pool pool(1, 1);
    fleet::test::run_body(io, [&]() -> awaitable<void> {
      auto work = [opened = gate.get_future().share()] { opened.wait(); };
      co_await pool.run_for(work, 1ms);
      try {
        co_await pool.run_for(work, 1ms);
      } catch (const fleet::base::failure& failed) {
        kind = failed.get().kind;
      }
      gate.set_value();
    });
  }
  CHECK(kind == fleet::base::error_kind::unavailable);
}

TEST_CASE("blocking pool: a call that was given up before it began never runs") {
  boost::asio::io_context io;
  std::promise<void> gate;
  bool ran = false;
  {
    blocking_pool pool(1);
    fleet::test::run_body(io, [&]() -> awaitable<void> {
      auto hangs = [opened = gate.get_future().share()] { opened.wait(); };
      co_await pool.run_for(std::move(hangs), 500ms);  // on a busy machine it takes its time to begin
      auto late = [&ran] { ran = true; };
      co_await pool.run_for(std::move(late), 1ms);
      gate.set_value();
    });
  }
  CHECK_FALSE(ran);
}

TEST_CASE("blocking pool: look-ups that hang hold up nothing else, and not the end either") {
  auto gate = std::make_shared<std::promise<void>>();
  auto ended = std::make_shared<std::atomic<int>>(0);
  const auto began = std::chrono::steady_clock::now();
  int value = 0;
  {
    boost::asio::io_context io;
    fleet::test::run_body(io, [&]() -> awaitable<void> {
      auto& lookups = blocking_pool::of_lookups(io.get_executor());
      const auto hangs = [opened = gate->get_future().share(), ended] {
        opened.wait();
        ++*ended;
      };
      for (int i = 0; i < 8; ++i) co_await lookups.run_for(hangs, 5ms);
      auto work = [] { return 7; };
      value = co_await fleet::async::run_blocking(std::move(work));
    });
  }
  CHECK(value == 7);
  CHECK(std::chrono::steady_clock::now() - began < 5s);
  CHECK(*ended == 0);
  gate->set_value();
  for (int i = 0; i < 1000 && *ended < 4; ++i) std::this_thread::sleep_for(5ms);
  CHECK(*ended == 4);
}
