#include "common/postgres/connect_machine.hpp"

#include <catch2/catch.hpp>

using machine = fleet::postgres::connect_machine;
using action = machine::action_kind;
using event = machine::event_kind;

TEST_CASE("connect machine: the plain way to a connection") {
  machine of(1);
  CHECK(of.begin().what == action::start);
  CHECK(of.resume({event::began}).what == action::wait_write);
  CHECK(of.resume({event::ready}).what == action::poll);
  CHECK(of.resume({event::polled_reading}).what == action::wait_read);
  CHECK(of.resume({event::ready}).what == action::poll);
  CHECK(of.resume({event::polled_ok}).what == action::finish);
}

TEST_CASE("connect machine: each host has its own time") {
  machine of(2);
  CHECK(of.begin().restart_clock);
  CHECK_FALSE(of.resume({event::began}).restart_clock);
  of.resume({event::ready});
  CHECK_FALSE(of.resume({event::polled_writing, 0}).restart_clock);
  of.resume({event::ready});
  const auto next = of.resume({event::polled_writing, 1});
  CHECK(next.what == action::wait_write);
  CHECK(next.restart_clock);
}

TEST_CASE("connect machine: a host that does not answer is left out of the next attempt") {
  machine of(3);
  of.begin();
  of.resume({event::began});
  of.resume({event::ready});
  of.resume({event::polled_reading, 1});  // the first one refused, libpq went on by itself
  const auto next = of.resume({event::timed_out});
  CHECK(next.what == action::start);
  CHECK(next.restart_clock);
  CHECK(of.skipped() == std::set<std::size_t>{1});
}

TEST_CASE("connect machine: fails when no host is left, and says that it was the time") {
  machine of(2);
  of.begin();
  CHECK(of.resume({event::timed_out}).what == action::start);
  of.resume({event::began});
  CHECK(of.resume({event::timed_out}).what == action::fail);
  CHECK(of.timed_out());
  CHECK(of.resume({event::ready}).what == action::fail);
}

TEST_CASE("connect machine: a refusal by libpq fails at once, with libpq's reason") {
  machine of(2);
  of.begin();
  CHECK(of.resume({event::failed}).what == action::fail);
  CHECK_FALSE(of.timed_out());
}
