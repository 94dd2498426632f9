#include "common/postgres/listener.hpp"

#include <signal.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <catch2/catch.hpp>

#include "tests/support/private_postgres.hpp"
#include "tests/support/run.hpp"

using namespace std::chrono_literals;
using fleet::postgres::listener;
using fleet::postgres::listener_timing;
using fleet::postgres::settings;
using fleet::test::private_postgres;
using fleet::test::run_until;

namespace {

/// A listener on its loop, with what it was told.
struct listening {
  listening(const std::string& url, listener_timing timing)
      : source(io.get_executor()),
        of(
            io.get_executor(), with(url), {"first", "odd \"name\""},
            [this](const std::string& channel, const std::string& payload) { heard += channel + "=" + payload + ";"; },
            [this](bool up) { states += up ? "+" : "-"; }, timing) {
    start();
  }
  ~listening() {
    source.request_hard();
    run_until(io, [this] { return ended; });
  }
  void start() {
    ended = false;
    const auto done = [this](std::exception_ptr) { ended = true; };
    boost::asio::co_spawn(io, of.run(source.token()), boost::asio::bind_cancellation_slot(cancel.slot(), done));
  }
  static settings with(const std::string& url) {
    settings how;
    how.url = url;
    how.application_name = "listener_test";
    return how;
  }
  bool until(const std::function<bool()>& condition) { return run_until(io, condition); }

  boost::asio::io_context io;
  fleet::async::stop_source source;
  boost::asio::cancellation_signal cancel;
  std::string heard;
  std::string states;
  bool ended = false;
  listener of;
};

}  // namespace

TEST_CASE("listener: hears its channels, comes back after its session is terminated, and says so") {
  auto& server = private_postgres::shared();
  listener_timing timing;
  timing.reconnect.initial = 10ms;
  listening on(server.url(), timing);
  REQUIRE(on.until([&] { return on.states == "+"; }));
  server.psql("notify first, 'a'; notify \"odd \"\"name\"\"\", 'b'; notify other, 'c'");
  CHECK(on.until([&] { return on.heard == "first=a;odd \"name\"=b;"; }));
  // It answers by being told: a ping is for silence, and would keep the one who is woken waiting.
  CHECK_THAT(server.psql("select query from pg_stat_activity where application_name = 'listener_test'"),
             Catch::StartsWith("listen "));

  server.psql("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'listener_test'");
  REQUIRE(on.until([&] { return on.states == "+-+"; }));
  on.heard.clear();
  server.psql("notify first, 'again'");
  CHECK(on.until([&] { return on.heard == "first=again;"; }));
}

TEST_CASE("listener: a session that does not answer any more is given up; a soft stop ends at once") {
  private_postgres server;
  listener_timing timing;
  timing.ping_interval = 50ms;
  timing.ping_timeout = 300ms * fleet::test::patience();
  timing.reconnect.initial = 10ms;
  listening on(server.url(), timing);
  REQUIRE(on.until([&] { return on.states == "+"; }));
  const int pid = std::stoi(server.psql("select pid from pg_stat_activity where application_name = 'listener_test'"));
  ::kill(pid, SIGSTOP);
  CHECK(on.until([&] { return on.states == "+-+"; }));
  ::kill(pid, SIGCONT);
  const auto began = std::chrono::steady_clock::now();
  on.source.request_soft();
  CHECK(on.until([&] { return on.ended; }));
  CHECK(std::chrono::steady_clock::now() - began < 5s);
  CHECK(on.states == "+-+-");
}

TEST_CASE("listener: one that is cancelled is down, tells those who wait for an answer, and can be run again") {
  auto& server = private_postgres::shared();
  listening on(server.url(), {});
  REQUIRE(on.until([&] { return on.states == "+"; }));
  int answered = 0;
  std::string failures;
  const auto ask = [&](std::string sql) -> boost::asio::awaitable<void> {
    try {
      co_await on.of.execute(std::move(sql));
    } catch (const fleet::base::failure& failed) {
      failures += failed.what();
      failures += "; ";
    }
    ++answered;
  };
  boost::asio::co_spawn(on.io, ask("select pg_sleep(60)"), boost::asio::detached);
  boost::asio::co_spawn(on.io, ask("select 1"), boost::asio::detached);
  const auto sleeping = [&] {
    return server.psql("select count(*) from pg_stat_activity where query = 'select pg_sleep(60)'") == "1";
  };
  REQUIRE(on.until(sleeping));
  on.cancel.emit(boost::asio::cancellation_type::terminal);
  REQUIRE(on.until([&] { return on.ended && answered == 2; }));
  CHECK(on.states == "+-");
  CHECK_FALSE(on.of.up());
  CHECK(failures == "the listening session has ended; the listening session has ended; ");
  on.start();
  REQUIRE(on.until([&] { return on.states == "+-+"; }));
  server.psql("notify first, 'again'");
  CHECK(on.until([&] { return on.heard == "first=again;"; }));
}

TEST_CASE("listener: waits for a database that is away, and its failure can be told") {
  private_postgres server;
  server.stop();
  listener_timing timing;
  timing.reconnect.initial = 10ms;
  timing.reconnect.max = 100ms;
  listening on(server.url(), timing);
  REQUIRE(on.until([&] { return !on.of.last_error().empty(); }));
  CHECK(on.states.empty());
  server.start();
  CHECK(on.until([&] { return on.states == "+"; }));
  CHECK(on.of.last_error().empty());
}
