#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/detached.hpp>
#include <catch2/catch.hpp>

#include "singularity_agent/execution/operation_lock.hpp"
#include "tests/support/results.hpp"
#include "tests/support/run.hpp"

namespace fleet::agent::execution {
namespace {

namespace asio = boost::asio;
using std::chrono::milliseconds;

/// Takes the lock, notes its name, yields once, and gives the lock up.
asio::awaitable<void> take_turn(operation_lock& lock, lane where, std::string name, std::vector<std::string>& log) {
  auto held = co_await lock.acquire(where, milliseconds(5000));
  if (!held) {
    log.push_back(name + ": " + std::string(base::to_string(held.error().kind)));
    co_return;
  }
  log.push_back(name);
  co_await asio::post(asio::use_awaitable);
}

TEST_CASE("operation lock: usual ones in order, urgent ones before them") {
  asio::io_context io;
  operation_lock lock(io.get_executor());
  std::vector<std::string> log;
  auto first = test::run(io, lock.acquire(lane::usual, milliseconds(10)));
  REQUIRE(first);
  for (const std::string name : {"a", "b"}) asio::co_spawn(io, take_turn(lock, lane::usual, name, log), asio::detached);
  for (const std::string name : {"u", "v"})
    asio::co_spawn(io, take_turn(lock, lane::urgent, name, log), asio::detached);
  REQUIRE(test::run_until(io, [&] { return lock.waiting() == 4; }));
  CHECK(log.empty());
  first->release();
  REQUIRE(test::run_until(io, [&] { return log.size() == 4; }));
  CHECK(log == std::vector<std::string>{"u", "v", "a", "b"});
  REQUIRE(test::run(io, lock.acquire(lane::usual, milliseconds(1000))));
}

TEST_CASE("operation lock: waiting ends at the time-out and at the bound") {
  asio::io_context io;
  operation_lock lock(io.get_executor(), 1);
  auto held = test::run(io, lock.acquire(lane::usual, milliseconds(10)));
  REQUIRE(held);
  const auto late = test::run(io, lock.acquire(lane::usual, milliseconds(10)));
  REQUIRE_FALSE(late);
  CHECK(late.error().kind == base::error_kind::timeout);
  CHECK(lock.waiting() == 0);
  std::vector<std::string> log;
  asio::co_spawn(io, take_turn(lock, lane::usual, "a", log), asio::detached);
  REQUIRE(test::run_until(io, [&] { return lock.waiting() == 1; }));
  const auto too_many = test::run(io, lock.acquire(lane::urgent, milliseconds(10)));
  REQUIRE_FALSE(too_many);
  CHECK(too_many.error().kind == base::error_kind::unavailable);
  held->release();
  REQUIRE(test::run_until(io, [&] { return log.size() == 1; }));
}

TEST_CASE("operation lock: one that is cancelled leaves the queue, and the next gets its turn") {
  asio::io_context io;
  operation_lock lock(io.get_executor());
  std::vector<std::string> log;
  auto held = test::run(io, lock.acquire(lane::usual, milliseconds(10)));
  asio::cancellation_signal cancel;
  asio::co_spawn(io, take_turn(lock, lane::usual, "a", log),
                 asio::bind_cancellation_slot(cancel.slot(), asio::detached));
  asio::co_spawn(io, take_turn(lock, lane::usual, "b", log), asio::detached);
  REQUIRE(test::run_until(io, [&] { return lock.waiting() == 2; }));
  cancel.emit(asio::cancellation_type::terminal);
  REQUIRE(test::run_until(io, [&] { return lock.waiting() == 1; }));
  held->release();
  REQUIRE(test::run_until(io, [&] { return !log.empty() && log.back() == "b"; }));
}

TEST_CASE("operation lock: it may go away before those who wait for it") {
  asio::io_context io;
  auto lock = std::make_unique<operation_lock>(io.get_executor());
  std::vector<std::string> log;
  auto held = test::run(io, lock->acquire(lane::usual, milliseconds(10)));
  asio::co_spawn(io, take_turn(*lock, lane::usual, "a", log), asio::detached);
  REQUIRE(test::run_until(io, [&] { return lock->waiting() == 1; }));
  lock.reset();
  held->release();
  REQUIRE(test::run_until(io, [&] { return log.size() == 1; }));
}

}  // namespace
}  // namespace fleet::agent::execution
