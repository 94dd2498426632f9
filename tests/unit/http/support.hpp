// What the tests of the server share: a loop that runs a coroutine to its end, and raw sockets.
#pragma once
#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <catch2/catch.hpp>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "common/http/client.hpp"
#include "common/http/server.hpp"

// g++ 12 takes Asio's own allocator of a coroutine frame for a mismatched one once it inlines the frame's end.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"
#endif

namespace fleet::http::test {

namespace asio = boost::asio;
using namespace std::chrono_literals;

inline constexpr auto as_values = asio::as_tuple(asio::use_awaitable);

/// Runs `body` on the loop, at most ten seconds, and rethrows what it throws.
inline void run(asio::io_context& io, std::function<asio::awaitable<void>()> body) {
  std::exception_ptr failed;
  bool done = false;
  asio::co_spawn(io, body(), [&](std::exception_ptr thrown) {
    failed = thrown;
    done = true;
    io.stop();
  });
  io.run_for(10s);
  if (failed) std::rethrow_exception(failed);
  REQUIRE(done);
}

inline asio::awaitable<void> pause(std::chrono::milliseconds duration) {
  asio::steady_timer timer(co_await asio::this_coro::executor, duration);
  co_await timer.async_wait(as_values);
}

/// Waits until the condition holds, at most five seconds.
inline asio::awaitable<bool> until(std::function<bool()> condition) {
  for (int i = 0; i < 1000; ++i) {
    if (condition()) co_return true;
    co_await pause(5ms);
  }
  co_return false;
}

struct fixture {
  explicit fixture(std::function<void(router&, fixture&)> routes = {}, limits bounds = {}) {
    path = (std::filesystem::temp_directory_path() / ("http_test_" + std::to_string(::getpid()) + ".sock")).string();
    std::filesystem::remove(path);
    router table;
    table.add("GET", "/v1/ping", [](request) -> asio::awaitable<response> { co_return text_response(200, "pong"); });
    table.add("POST", "/v1/echo", [](request what) -> asio::awaitable<response> {
      const auto body = what.json_body();
      if (!body) co_return problem(body.error());
      co_return json_response(201, *body);
    });
    if (routes) routes(table, *this);
    server_options options;
    options.unix_socket = path;
    options.listen = "127.0.0.1:0";
    options.bounds = bounds;
    start(options, table);
  }
  ~fixture() { std::filesystem::remove(path); }

  void start(const server_options& options, const router& table) {
    const auto log = telemetry::logger::to_sink([this](std::string_view line) { log_lines.emplace_back(line); });
    under_test = std::make_unique<server>(io.get_executor(), options, table, log, metrics);
    const auto started = under_test->start();
    INFO((started ? std::string() : started.error().message));
    REQUIRE(started.has_value());
  }

  client_request request_to(std::string method, std::string target, std::string body = {}) const {
    client_request what;
    what.to.unix_socket = path;
    what.method = std::move(method);
    what.target = std::move(target);
    what.body = std::move(body);
    what.timeout = 5s;
    return what;
  }

  asio::awaitable<client_response> call(std::string method, std::string target, std::string body = {}) {
    auto what = request_to(std::move(method), std::move(target), std::move(body));
    auto answer = co_await http::call(std::move(what));
    if (!answer) throw std::runtime_error(answer.error().message);
    co_return std::move(*answer);
  }

  /// Sends raw bytes and reads until the server closes.
  asio::awaitable<std::string> raw(std::string bytes) {
    asio::local::stream_protocol::socket socket(io);
    const asio::local::stream_protocol::endpoint to(path);
    co_await socket.async_connect(to, as_values);
    const auto out = asio::buffer(bytes);
    co_await asio::async_write(socket, out, as_values);
    std::string answer;
    auto in = asio::dynamic_buffer(answer);
    co_await asio::async_read(socket, in, as_values);
    co_return answer;
  }

  asio::io_context io;
  telemetry::metrics metrics;
  std::vector<std::string> log_lines;
  std::string path;
  std::unique_ptr<server> under_test;
};

}  // namespace fleet::http::test
