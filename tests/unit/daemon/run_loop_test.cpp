#include "common/daemon/run_loop.hpp"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <catch2/catch.hpp>
#include <csignal>
#include <cstdlib>
#include <filesystem>

#include "common/daemon/database_note.hpp"
#include "common/daemon/service_manager.hpp"

using namespace fleet;
using namespace std::chrono_literals;
namespace asio = boost::asio;

namespace {

daemon::run_options quiet() {
  daemon::run_options options;
  options.stop_grace = 5s;
  options.hard_limit = 5s;
  return options;
}

asio::awaitable<void> sleep(std::chrono::milliseconds duration) {
  asio::steady_timer timer(co_await asio::this_coro::executor, duration);
  co_await timer.async_wait(asio::use_awaitable);
}

/// Stands for systemd: receives what the process notifies.
class notify_socket {
 public:
  notify_socket()
      : path_((std::filesystem::temp_directory_path() / ("notify_" + std::to_string(::getpid()))).string()) {
    std::filesystem::remove(path_);
    fd_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path_.copy(address.sun_path, sizeof(address.sun_path) - 1);
    REQUIRE(::bind(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0);
    ::setenv("NOTIFY_SOCKET", path_.c_str(), 1);
  }
  ~notify_socket() {
    ::unsetenv("NOTIFY_SOCKET");
    ::unsetenv("WATCHDOG_USEC");
    ::close(fd_);
    std::filesystem::remove(path_);
  }
  std::vector<std::string> received() {
    std::vector<std::string> messages;
    std::array<char, 1024> chunk{};
    while (true) {
      const auto count = ::recv(fd_, chunk.data(), chunk.size(), 0);
      if (count < 0) return messages;
      messages.emplace_back(chunk.data(), static_cast<std::size_t>(count));
    }
  }

 private:
  std::string path_;
  int fd_ = -1;
};

std::size_t count_of(const std::vector<std::string>& messages, std::string_view start) {
  return static_cast<std::size_t>(
      std::count_if(messages.begin(), messages.end(), [&](const auto& message) { return message.starts_with(start); }));
}

}  // namespace

TEST_CASE("run loop: main's end is the end, with its exit code") {
  CHECK(daemon::run_loop(quiet(), [](daemon::loop&) -> asio::awaitable<void> { co_return; }) == 0);
  CHECK(daemon::run_loop(quiet(), [](daemon::loop& loop) -> asio::awaitable<void> {
          loop.request_stop("a test", 3);
          co_return;
        }) == 3);
  CHECK(daemon::run_loop(quiet(), [](daemon::loop&) -> asio::awaitable<void> {
          throw std::runtime_error("no database");
          co_return;
        }) == 1);
}

TEST_CASE("run loop: a signal that comes after the end does not end the leaving process as if it had crashed") {
  const int number = GENERATE(SIGTERM, SIGINT, SIGHUP);
  CHECK(daemon::run_loop(quiet(), [](daemon::loop&) -> asio::awaitable<void> { co_return; }) == 0);
  CHECK(::raise(number) == 0);
  // As it was: children of this program would inherit it.
  CHECK(::signal(number, SIG_DFL) == SIG_IGN);
}

TEST_CASE("run loop: a first signal is a soft stop and the exit is clean") {
  const int number = GENERATE(SIGTERM, SIGINT);
  bool soft = false;
  bool hard = true;
  const int code = daemon::run_loop(quiet(), [&](daemon::loop& loop) -> asio::awaitable<void> {
    const auto stop = loop.stop_token();
    ::raise(number);
    soft = !co_await stop.sleep_for(5s);
    hard = stop.hard_requested();
  });
  CHECK(code == 0);
  CHECK(soft);
  CHECK_FALSE(hard);
}

TEST_CASE("run loop: a second signal is a hard stop at once") {
  const auto before = std::chrono::steady_clock::now();
  bool hard = false;
  const int code = daemon::run_loop(quiet(), [&](daemon::loop& loop) -> asio::awaitable<void> {
    const auto stop = loop.stop_token();
    const auto note = stop.on_hard([&] { hard = true; });
    ::raise(SIGTERM);
    const bool went_on = co_await stop.sleep_for(5s);
    CHECK_FALSE(went_on);
    ::raise(SIGTERM);
    for (int i = 0; i < 500 && !hard; ++i) co_await sleep(5ms);
  });
  CHECK(hard);
  CHECK(code == 1);
  CHECK(std::chrono::steady_clock::now() - before < 4s);
}

TEST_CASE("run loop: after the grace time the stop is hard, and what does not end is left") {
  auto options = quiet();
  options.stop_grace = 20ms;
  options.hard_limit = 20ms;
  int left_with = -1;
  options.leave = [&](int code) { left_with = code; };
  bool hard = false;
  const int code = daemon::run_loop(options, [&](daemon::loop& loop) -> asio::awaitable<void> {
    const auto note = loop.stop_token().on_hard([&] { hard = true; });
    loop.request_stop("a test");
    co_await sleep(1h);
  });
  CHECK(hard);
  CHECK(code == 1);
  CHECK(left_with == 1);
}

TEST_CASE("run loop: SIGHUP reloads, and a reload that throws changes nothing") {
  notify_socket manager;
  int reloads = 0;
  const int code = daemon::run_loop(quiet(), [&](daemon::loop& loop) -> asio::awaitable<void> {
    loop.on_reload([&] {
      ++reloads;
      throw std::runtime_error("bad file");
    });
    loop.ready("serving");
    ::raise(SIGHUP);
    for (int i = 0; i < 500 && reloads == 0; ++i) co_await sleep(5ms);
    CHECK_FALSE(loop.stop_token().soft_requested());
    loop.request_stop("a test");
  });
  CHECK(code == 0);
  CHECK(reloads == 1);
  const auto messages = manager.received();
  REQUIRE(messages.size() == 4);
  CHECK(messages[0] == "READY=1\nSTATUS=serving");
  CHECK(messages[1].starts_with("RELOADING=1\nMONOTONIC_USEC="));
  CHECK(messages[2].starts_with("READY=1"));
  CHECK(messages[3] == "STOPPING=1");
}

TEST_CASE("run loop: the watchdog is fed at half its interval, from the loop") {
  notify_socket manager;
  ::setenv("WATCHDOG_USEC", "20000", 1);
  CHECK(daemon::watchdog_interval() == 10ms);
  std::size_t fed = 0;
  daemon::run_loop(quiet(), [&](daemon::loop&) -> asio::awaitable<void> {
    for (int i = 0; i < 500 && fed < 3; ++i) {
      co_await sleep(5ms);
      fed += count_of(manager.received(), "WATCHDOG=1");
    }
  });
  CHECK(fed >= 3);
}

TEST_CASE("run loop: a loop that hangs, or a worker that is stuck, starves the watchdog") {
  notify_socket manager;
  ::setenv("WATCHDOG_USEC", "20000", 1);
  std::vector<std::string> lines;
  auto options = quiet();
  options.log = telemetry::logger::to_sink([&](std::string_view line) { lines.emplace_back(line); });
  std::optional<std::string> stuck;
  daemon::run_loop(options, [&](daemon::loop& loop) -> asio::awaitable<void> {
    loop.watch([&] { return stuck; });
    const auto fed_within = [&](int rounds) -> asio::awaitable<bool> {
      manager.received();
      std::size_t fed = 0;
      for (int i = 0; i < rounds && fed == 0; ++i) {
        co_await sleep(5ms);
        fed = count_of(manager.received(), "WATCHDOG=1");
      }
      co_return fed > 0;
    };
    const bool before = co_await fed_within(500);
    CHECK(before);
    // The loop hangs for five intervals: nothing is sent meanwhile, whatever becomes due.
    manager.received();
    ::usleep(100'000);
    CHECK(manager.received().empty());
    stuck = "worker votes/0 has not turned";
    co_await sleep(30ms);
    const bool while_stuck = co_await fed_within(20);
    CHECK_FALSE(while_stuck);
    stuck.reset();
    const bool after = co_await fed_within(500);
    CHECK(after);
    stuck = "a stop has bounds of its own";
    loop.request_stop("a test");
    const bool stopping = co_await fed_within(500);
    CHECK(stopping);
  });
  const auto told = std::count_if(lines.begin(), lines.end(), [](const auto& line) {
    return line.find("votes/0 has not turned") != std::string::npos;
  });
  CHECK(told == 1);
}

TEST_CASE("database note: readiness and the service manager's status follow the database, told once a change") {
  notify_socket manager;
  telemetry::health_state health;
  daemon::run_loop(quiet(), [&](daemon::loop& loop) -> asio::awaitable<void> {
    daemon::database_note note(loop, health, "working");
    note("");
    CHECK(health.ready());
    note("refused");
    note("refused again");
    CHECK(health.missing().at(0).reason == "refused again");
    note("");
    CHECK(health.ready());
    co_return;
  });
  const auto told = manager.received();
  CHECK(count_of(told, "READY=1\nSTATUS=waiting for the database") == 1);
  CHECK(count_of(told, "READY=1\nSTATUS=working") == 1);
}
