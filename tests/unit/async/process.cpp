#include "common/async/process.hpp"

#include <signal.h>
#include <sys/wait.h>

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <catch2/catch.hpp>
#include <cerrno>
#include <filesystem>
#include <thread>

#include "common/base/error.hpp"
#include "tests/unit/async/run_body.hpp"

using namespace std::chrono_literals;
using boost::asio::awaitable;
using fleet::async::process_result;
using fleet::async::process_spec;
using fleet::async::run_process;

namespace {

process_result run(process_spec spec) {
  process_result result;
  fleet::test::run_body([&]() -> awaitable<void> { result = co_await run_process(spec); });
  return result;
}

process_spec shell(std::string command) {
  process_spec spec;
  spec.shell_command = std::move(command);
  return spec;
}

std::size_t open_descriptors() {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) ++count;
  return count;
}

/// A killed process is a zombie until its new parent looks: gone or zombie, within a bound.
bool ends_soon(pid_t pid) {
  const auto deadline = std::chrono::steady_clock::now() + 10s;
  while (std::chrono::steady_clock::now() < deadline) {
    if (::kill(pid, 0) != 0 && errno == ESRCH) return true;
    std::string state = run(shell("cut -d' ' -f3 /proc/" + std::to_string(pid) + "/stat")).standard_output;
    if (state.empty() || state.front() == 'Z') return true;
  }
  return false;
}

}  // namespace

TEST_CASE("process: gives both outputs and the exit code") {
  const auto result = run(shell("echo out; echo err >&2; exit 3"));
  CHECK(result.standard_output == "out\n");
  CHECK(result.standard_error == "err\n");
  CHECK(result.exit_code == 3);
  CHECK_FALSE(result.ok());
  CHECK(result.describe().find("exit code 3") == 0);
}

TEST_CASE("process: arguments are passed as they are, with directory and environment") {
  process_spec spec;
  spec.argv = {"sh", "-c", "pwd; echo \"$1 $EXTRA $HOME\"", "sh", "a  'b'"};
  spec.working_directory = "/usr";
  spec.environment = {{"EXTRA", "x y"}, {"HOME", "/nowhere"}};
  CHECK(run(spec).standard_output == "/usr\na  'b' x y /nowhere\n");
}

TEST_CASE("process: what a daemon logs in with is not handed to what it runs") {
  const std::map<std::string, std::string> own{{"PGFLOW_DATABASE_URL", "postgresql://u:secret@h/d"},
                                               {"PGFLOW_DATABASE_LISTEN_URL", "postgresql://u:secret@h/d"},
                                               {"CREDENTIALS_DIRECTORY", "/secret"},
                                               {"PGFLOW_LOG_LEVEL", "debug"}};
  for (const auto& [name, value] : own) ::setenv(name.c_str(), value.c_str(), 1);
  process_spec spec;
  spec.argv = {"env"};
  const auto seen = run(spec).standard_output;
  spec.environment = {{"PGFLOW_DATABASE_URL", "given on purpose"}};
  const auto given = run(spec).standard_output;
  for (const auto& [name, value] : own) ::unsetenv(name.c_str());
  CHECK(seen.find("secret") == std::string::npos);
  CHECK(seen.find("PGFLOW_LOG_LEVEL=debug\n") != std::string::npos);
  CHECK(given.find("PGFLOW_DATABASE_URL=given on purpose\n") != std::string::npos);
}

TEST_CASE("process: standard input is fed and closed, more than a pipe holds") {
  process_spec spec;
  spec.argv = {"wc", "-c"};
  spec.stdin_text = std::string(300'000, 'x');
  CHECK(std::stoi(run(spec).standard_output) == 300'000);
}

TEST_CASE("process: one that does not read its input does no harm") {
  process_spec spec = shell("exec 0<&-; echo done");
  spec.stdin_text = std::string(300'000, 'x');
  const auto result = run(spec);
  CHECK(result.ok());
  CHECK(result.standard_output == "done\n");
}

TEST_CASE("process: output beyond the bound is read and dropped, and said to be") {
  process_spec spec = shell("head -c 500000 /dev/zero | tr '\\0' 'x'; echo short >&2");
  spec.max_output_bytes = 1000;
  const auto result = run(spec);
  CHECK(result.exit_code == 0);
  CHECK(result.standard_output.size() == 1000);
  CHECK(result.output_truncated);
  CHECK_FALSE(result.error_truncated);
}

TEST_CASE("process: the timeout ends grandchildren too, even those that ignore SIGTERM") {
  process_spec spec = shell("trap '' TERM; (trap '' TERM; while :; do sleep 0.1; done) & echo $!; wait; sleep 600");
  spec.timeout = 300ms;
  spec.kill_grace = 100ms;
  const auto result = run(spec);
  CHECK(result.timed_out);
  CHECK(result.signal == SIGKILL);
  CHECK_FALSE(result.ok());
  CHECK(ends_soon(std::stoi(result.standard_output)));
}

TEST_CASE("process: a process left behind on purpose does not hold the caller up") {
  const auto began = std::chrono::steady_clock::now();
  const auto result = run(shell("sleep 20 & echo $!"));
  CHECK(result.ok());
  CHECK(std::chrono::steady_clock::now() - began < 15s);
  const pid_t left = std::stoi(result.standard_output);
  CHECK(::kill(left, SIGKILL) == 0);
}

TEST_CASE("process: a hard stop kills at once") {
  boost::asio::io_context io;
  fleet::async::stop_source source(io.get_executor());
  process_result result;
  fleet::test::run_body(io, [&]() -> awaitable<void> {
    process_spec spec = shell("sleep 600");
    spec.stop = source.token();
    boost::asio::post(io, [&] { source.request_hard(); });
    result = co_await run_process(spec);
  });
  CHECK(result.stopped);
  CHECK(result.signal == SIGKILL);
}

TEST_CASE(
    "process: one that ended before it was signalled has neither timed out nor been stopped, however late the loop "
    "is") {
  boost::asio::io_context io;
  fleet::async::stop_source source(io.get_executor());
  process_result result;
  const bool by_stop = GENERATE(false, true);
  fleet::test::run_body(io, [&]() -> awaitable<void> {
    // Two timers before the process's own: the first lets all of them run out, so that they are taken in one go; the
    // second holds that up until the process has ended.
    boost::asio::steady_timer first(io, 20ms);
    boost::asio::steady_timer second(io, 40ms);
    first.async_wait([](boost::system::error_code) { std::this_thread::sleep_for(100ms); });
    second.async_wait([&](boost::system::error_code) {
      std::this_thread::sleep_for(1s);
      if (by_stop) source.request_hard();
    });
    process_spec spec = shell("exec sleep 0.5");
    spec.stop = source.token();
    spec.timeout = by_stop ? 60'000ms : 80ms;
    result = co_await run_process(spec);
  });
  INFO(result.describe());
  CHECK(result.ok());
}

TEST_CASE("process: a missing program, a missing directory and a file that is no program are told apart") {
  const auto kind_of = [](process_spec spec) {
    try {
      run(std::move(spec));
    } catch (const fleet::base::failure& failed) {
      INFO(failed.what());
      CHECK(std::string(failed.what()).find("running") == 0);
      return failed.get().kind;
    }
    return fleet::base::error_kind::internal;
  };
  process_spec missing;
  missing.argv = {"no-such-program-anywhere"};
  CHECK(kind_of(missing) == fleet::base::error_kind::not_found);
  process_spec nowhere = shell("true");
  nowhere.working_directory = "/no/such/directory";
  CHECK(kind_of(nowhere) == fleet::base::error_kind::not_found);
  process_spec data;
  data.argv = {"/etc/hostname"};
  CHECK(kind_of(data) == fleet::base::error_kind::refused);
}

TEST_CASE("process: leaves neither descriptors nor children behind, whatever way it ends") {
  run(shell("true"));
  const auto before = open_descriptors();
  for (int i = 0; i < 5; ++i) run(shell("true"));
  process_spec slow = shell("sleep 600");
  slow.timeout = 50ms;
  run(slow);
  process_spec missing;
  missing.argv = {"no-such-program-anywhere"};
  CHECK_THROWS(run(missing));
  {
    // The loop goes while the process runs.
    boost::asio::io_context io;
    boost::asio::co_spawn(io, run_process(shell("sleep 600")), [](std::exception_ptr, process_result) {});
    io.poll();
  }
  CHECK(open_descriptors() == before);
  CHECK(::waitpid(-1, nullptr, WNOHANG) == -1);
}
