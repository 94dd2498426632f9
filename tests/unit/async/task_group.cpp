#include "common/async/task_group.hpp"

#include <catch2/catch.hpp>

#include "common/async/event.hpp"
#include "tests/unit/async/run_body.hpp"

using namespace std::chrono_literals;
using boost::asio::awaitable;
using fleet::async::event;
using fleet::async::task_group;

namespace {

awaitable<void> wait_for_gate(event& gate) {
  co_await gate.wait_for(20s);
}
awaitable<void> fail() {
  throw std::runtime_error("broken");
  co_return;
}

}  // namespace

TEST_CASE("task group: join tells whether all have ended") {
  boost::asio::io_context io;
  event gate;
  task_group group(io.get_executor());
  bool early = true;
  bool late = false;
  std::vector<std::string> names;
  fleet::test::run_body(io, [&]() -> awaitable<void> {
    group.spawn("b", wait_for_gate(gate));
    group.spawn("a", wait_for_gate(gate));
    early = co_await group.join(20ms);
    names = group.names();
    gate.notify_all();
    late = co_await group.join(20s);
  });
  CHECK_FALSE(early);
  CHECK(names == std::vector<std::string>{"a", "b"});
  CHECK(late);
  CHECK(group.running() == 0);
}

TEST_CASE("task group: a failure goes to the handler with the task's name") {
  boost::asio::io_context io;
  std::string failed;
  task_group group(io.get_executor(), [&](const std::string& name, std::exception_ptr) { failed += name; });
  bool ended = false;
  fleet::test::run_body(io, [&]() -> awaitable<void> {
    group.spawn("worker", fail());
    ended = co_await group.join(20s);
  });
  CHECK(ended);
  CHECK(failed == "worker");
}
