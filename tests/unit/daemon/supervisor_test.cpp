#include "common/daemon/supervisor.hpp"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <catch2/catch.hpp>
#include <map>

#include "common/base/error.hpp"
#include "common/daemon/worker_group.hpp"

using namespace fleet;
using namespace std::chrono_literals;
namespace asio = boost::asio;

namespace {

struct fixture {
  explicit fixture(std::size_t max_restarts = 3) : stop(io.get_executor()) {
    rules.min_backoff = 1ms;
    rules.max_backoff = 20ms;
    rules.max_restarts = max_restarts;
    rules.window = 5s;
    rules.on_fatal = [this](const std::string& name) { fatal_workers.push_back(name); };
    const auto log = telemetry::logger::to_sink([this](std::string_view line) { lines.emplace_back(line); });
    under_test = std::make_unique<daemon::supervisor>(io.get_executor(), stop.token(), log, metrics, health, rules);
  }

  /// Turns the loop until the condition holds, at most five seconds.
  bool until(const std::function<bool()>& condition) {
    const auto end = std::chrono::steady_clock::now() + 5s;
    while (!condition() && std::chrono::steady_clock::now() < end) {
      io.restart();
      io.run_one_for(20ms);
    }
    return condition();
  }

  double restarts() { return metrics.get_counter("daemon_worker_restarts_total", "x", {{"worker", "w"}}).value(); }

  asio::io_context io;
  async::stop_source stop;
  telemetry::metrics metrics;
  telemetry::health_state health;
  std::vector<std::string> lines;
  std::vector<std::string> fatal_workers;
  daemon::supervision rules;
  std::unique_ptr<daemon::supervisor> under_test;
};

asio::awaitable<void> sleep(std::chrono::milliseconds duration) {
  asio::steady_timer timer(co_await asio::this_coro::executor, duration);
  co_await timer.async_wait(asio::use_awaitable);
}

}  // namespace

TEST_CASE("supervisor: a worker that throws is logged, counted and started again") {
  fixture with(10);
  int runs = 0;
  with.under_test->supervise("w", [&](async::stop_token stop) -> asio::awaitable<void> {
    if (++runs <= 2) throw std::runtime_error("broken " + std::to_string(runs));
    co_await stop.sleep_for(1h);
  });
  REQUIRE(with.until([&] { return runs == 2; }));
  CHECK_FALSE(with.health.ready());
  REQUIRE(with.until([&] { return runs == 3; }));
  CHECK(with.restarts() == 2);
  REQUIRE(with.lines.size() == 2);
  CHECK(with.lines[0].find("broken 1") != std::string::npos);
  CHECK(with.until([&] { return with.health.ready(); }));
  CHECK_FALSE(with.under_test->fatal());
  with.stop.request_soft();
  CHECK(with.until([&] { return with.under_test->running() == 0; }));
}

TEST_CASE("supervisor: too many failures are fatal once, and the worker is still tried") {
  fixture with(3);
  int runs = 0;
  with.under_test->supervise("w", [&](async::stop_token) -> asio::awaitable<void> {
    ++runs;
    throw std::runtime_error("broken");
    co_return;
  });
  REQUIRE(with.until([&] { return with.under_test->fatal(); }));
  CHECK(runs == 4);
  CHECK_FALSE(with.health.ready());
  CHECK(with.until([&] { return runs >= 7; }));
  CHECK(with.fatal_workers == std::vector<std::string>{"w"});
}

TEST_CASE("supervisor: the wait between restarts grows to its bound") {
  fixture with(1000);
  std::vector<std::chrono::steady_clock::time_point> starts;
  with.under_test->supervise("w", [&](async::stop_token) -> asio::awaitable<void> {
    starts.push_back(std::chrono::steady_clock::now());
    throw std::runtime_error("broken");
    co_return;
  });
  REQUIRE(with.until([&] { return starts.size() == 10; }));
  // Delays 1, 2, 4, 8, 16 and then 20 ms, each with jitter at most to the cap.
  CHECK(starts[9] - starts[0] >= 80ms);
}

TEST_CASE("supervisor: what is away is waited for without end") {
  fixture with(2);
  int runs = 0;
  with.under_test->supervise("w", [&](async::stop_token) -> asio::awaitable<void> {
    ++runs;
    throw base::failure(base::make_error(base::error_kind::unavailable, "the database is away"));
    co_return;
  });
  REQUIRE(with.until([&] { return runs == 8; }));
  CHECK_FALSE(with.under_test->fatal());
  REQUIRE(with.health.missing().size() == 1);
  CHECK(with.health.missing()[0].reason == "the database is away");
}

TEST_CASE("supervisor: what is away for many workers is told once, and once more when all go on") {
  fixture with;
  bool away = true;
  int runs = 0;
  for (int i = 0; i < 20; ++i) {
    with.under_test->supervise("w" + std::to_string(i), [&](async::stop_token stop) -> asio::awaitable<void> {
      ++runs;
      if (away) throw base::failure(base::make_error(base::error_kind::timeout, "no answer"));
      co_await stop.sleep_for(1h);
    });
  }
  REQUIRE(with.until([&] { return runs >= 100; }));
  REQUIRE(with.lines.size() == 1);
  CHECK(with.lines[0].find("workers_wait") != std::string::npos);
  away = false;
  REQUIRE(with.until([&] { return with.health.ready(); }));
  REQUIRE(with.lines.size() == 2);
  CHECK(with.lines[1].find("workers_go_on") != std::string::npos);
  with.stop.request_soft();
  CHECK(with.until([&] { return with.under_test->running() == 0; }));
}

TEST_CASE("supervisor: one that wanted for something is trusted once that is there, and not by time alone") {
  fixture with;
  bool there = false;
  with.rules.settling = 10ms;
  with.rules.available = [&] { return there; };
  daemon::supervisor asking(with.io.get_executor(), with.stop.token(), telemetry::logger::none(), with.metrics,
                            with.health, with.rules);
  int runs = 0;
  asking.supervise("w", [&](async::stop_token stop) -> asio::awaitable<void> {
    if (++runs == 1) throw base::failure(base::make_error(base::error_kind::unavailable, "away"));
    co_await stop.sleep_for(1h);
  });
  const auto later = std::chrono::steady_clock::now() + 100ms;
  REQUIRE(with.until([&] { return runs == 2 && std::chrono::steady_clock::now() > later; }));
  CHECK_FALSE(with.health.ready());
  there = true;
  CHECK(with.until([&] { return with.health.ready(); }));
}

TEST_CASE("supervisor: the first that is well again ends the waits of the others") {
  fixture with;
  bool there = false;
  with.rules.max_backoff = 1h;
  with.rules.settling = 10ms;
  with.rules.available = [&] { return there; };
  daemon::supervisor many(with.io.get_executor(), with.stop.token(), telemetry::logger::none(), with.metrics,
                          with.health, with.rules);
  std::map<std::string, int> runs;
  const auto start = [&](const std::string& name) {
    many.supervise(name, [&runs, &there, name](async::stop_token stop) -> asio::awaitable<void> {
      if (++runs[name] == 1 || !there) throw base::failure(base::make_error(base::error_kind::unavailable, "away"));
      co_await stop.sleep_for(1h);
    });
  };
  // After the eleventh failure in a row the next wait is a second.
  for (const auto* name : {"a", "b", "c"}) start(name);
  REQUIRE(with.until([&] { return runs["a"] == 11 && runs["b"] == 11 && runs["c"] == 11; }));
  there = true;
  const auto began = std::chrono::steady_clock::now();
  start("late");
  REQUIRE(with.until([&] { return with.health.ready(); }));
  CHECK(std::chrono::steady_clock::now() - began < 500ms);
  CHECK(runs["a"] == 12);
}

TEST_CASE("supervisor: a soft stop ends the wait for a restart") {
  fixture with;
  int runs = 0;
  with.rules.min_backoff = 1h;
  with.rules.max_backoff = 1h;
  daemon::supervisor slow(with.io.get_executor(), with.stop.token(), telemetry::logger::none(), with.metrics,
                          with.health, with.rules);
  slow.supervise("w", [&](async::stop_token) -> asio::awaitable<void> {
    ++runs;
    throw std::runtime_error("broken");
    co_return;
  });
  REQUIRE(with.until([&] { return runs == 1; }));
  with.stop.request_soft();
  bool all_ended = false;
  const auto wait = [&]() -> asio::awaitable<void> { all_ended = co_await slow.wait(5s); };
  asio::co_spawn(with.io, wait(), [](std::exception_ptr) {});
  CHECK(with.until([&] { return all_ended; }));
  CHECK(runs == 1);
}

TEST_CASE("supervisor: a worker deaf to the soft stop is cancelled by the hard one") {
  fixture with;
  bool started = false;
  with.under_test->supervise("w", [&](async::stop_token) -> asio::awaitable<void> {
    started = true;
    asio::steady_timer timer(with.io, 1h);
    co_await timer.async_wait(asio::use_awaitable);
  });
  REQUIRE(with.until([&] { return started; }));
  with.stop.request_soft();
  bool answered = false;
  bool all_ended = true;
  const auto wait = [&]() -> asio::awaitable<void> {
    all_ended = co_await with.under_test->wait(50ms);
    answered = true;
  };
  asio::co_spawn(with.io, wait(), [](std::exception_ptr) {});
  REQUIRE(with.until([&] { return answered; }));
  CHECK_FALSE(all_ended);
  with.stop.request_hard();
  CHECK(with.until([&] { return with.under_test->running() == 0; }));
}

TEST_CASE("supervisor: a worker that returns has ended") {
  fixture with;
  int runs = 0;
  with.under_test->supervise("w", [&](async::stop_token) -> asio::awaitable<void> {
    ++runs;
    co_return;
  });
  CHECK(with.until([&] { return with.under_test->running() == 0; }));
  CHECK(runs == 1);
  CHECK(with.health.ready());
}

TEST_CASE("supervisor: a worker that does not turn any more is stuck, whatever else runs") {
  fixture with;
  bool hangs = false;
  with.under_test->watch_turns("other", 50ms);
  const auto turning = [&](async::stop_token stop, std::function<void()> turned) -> asio::awaitable<void> {
    while (!stop.soft_requested()) {
      if (!hangs) turned();
      co_await stop.sleep_for(2ms);
    }
  };
  with.under_test->supervise("w", 50ms, turning);
  with.under_test->supervise("other", [](async::stop_token) -> asio::awaitable<void> { co_return; });
  // One that has ended is not stuck, and one that turns is not, however long.
  REQUIRE(with.until([&] { return with.under_test->running() == 1; }));
  const auto later = std::chrono::steady_clock::now() + 120ms;
  bool ever = false;
  REQUIRE(with.until([&] {
    ever = ever || with.under_test->stuck().has_value();
    return std::chrono::steady_clock::now() > later;
  }));
  CHECK_FALSE(ever);
  hangs = true;
  REQUIRE(with.until([&] { return with.under_test->stuck().has_value(); }));
  CHECK(with.under_test->stuck()->find("worker w has not turned") != std::string::npos);
  hangs = false;
  CHECK(with.until([&] { return !with.under_test->stuck(); }));
  with.stop.request_soft();
  CHECK(with.until([&] { return with.under_test->running() == 0; }));
}

TEST_CASE("worker group: grows and shrinks while it runs, and a worker that is too many finishes first") {
  fixture with;
  std::map<std::string, int> runs;
  std::vector<std::string> ended;
  bool busy = true;
  const auto make = [&](const std::string& name) {
    return [&, name](async::stop_token stop) -> asio::awaitable<void> {
      ++runs[name];
      while (!stop.soft_requested() || busy) co_await sleep(2ms);
      ended.push_back(name);
    };
  };
  daemon::worker_group group(with.io.get_executor(), *with.under_test, with.stop.token(), "q", make);
  group.resize(3);
  REQUIRE(with.until([&] { return runs.size() == 3; }));
  CHECK(runs == std::map<std::string, int>{{"q/0", 1}, {"q/1", 1}, {"q/2", 1}});
  group.resize(1);
  CHECK(group.size() == 1);
  CHECK(with.under_test->running() == 3);
  busy = false;
  REQUIRE(with.until([&] { return with.under_test->running() == 1; }));
  std::sort(ended.begin(), ended.end());
  CHECK(ended == std::vector<std::string>{"q/1", "q/2"});
  group.resize(2);
  REQUIRE(with.until([&] { return runs["q/1"] == 2; }));
  CHECK(runs["q/0"] == 1);
  with.stop.request_soft();
  CHECK(with.until([&] { return with.under_test->running() == 0; }));
}
