#include "common/http/server.hpp"

#include <sys/stat.h>

#include <boost/json/parse.hpp>
#include <fstream>

#include "common/http/event_stream.hpp"
#include "common/http/health_routes.hpp"
#include "tests/unit/http/support.hpp"

using namespace fleet;
using namespace fleet::http::test;
using http::request;
using http::response;

TEST_CASE("http server: answers over the Unix socket and over TCP") {
  fixture with;
  run(with.io, [&]() -> asio::awaitable<void> {
    const auto local = co_await with.call("GET", "/v1/ping");
    CHECK(local.status == 200);
    CHECK(local.body == "pong");
    http::client_request what;
    what.to.host = "127.0.0.1";
    what.to.port = std::to_string(with.under_test->port());
    what.target = "/v1/ping";
    const auto remote = co_await http::call(what);
    CHECK(remote.value().body == "pong");
    const auto echoed = co_await with.call("POST", "/v1/echo", R"({"a":1})");
    CHECK(echoed.status == 201);
    CHECK(echoed.body == R"({"a":1})");
  });
  struct stat made {};
  REQUIRE(::stat(with.path.c_str(), &made) == 0);
  CHECK((made.st_mode & 0777U) == 0660U);
}

TEST_CASE("http server: bad input gets its problem") {
  fixture with;
  run(with.io, [&]() -> asio::awaitable<void> {
    const auto bad = co_await with.call("POST", "/v1/echo", "{oops");
    CHECK(bad.status == 400);
    CHECK(bad.headers.at("content-type") == "application/problem+json");
    const auto body = boost::json::parse(bad.body).as_object();
    CHECK(body.at("status").as_int64() == 400);
    CHECK(body.contains("type"));
    CHECK(body.contains("title"));
    CHECK(body.contains("detail"));
    CHECK(body.at("errors").as_array().size() == 1);

    const auto missing = co_await with.call("GET", "/v1/nothing");
    CHECK(missing.status == 404);
    const auto method = co_await with.call("DELETE", "/v1/ping");
    CHECK(method.status == 405);
    CHECK(method.headers.at("allow") == "GET, HEAD");
    const auto escape = co_await with.call("GET", "/v1/ping?x=%zz");
    CHECK(escape.status == 400);
    const auto head = co_await with.call("HEAD", "/v1/ping");
    CHECK(head.status == 200);
    CHECK(head.headers.at("content-length") == "4");
    CHECK(head.body.empty());
  });
}

TEST_CASE("http server: what is no HTTP is answered with 400 and closed") {
  fixture with;
  run(with.io, [&]() -> asio::awaitable<void> {
    const auto answer = co_await with.raw("\x16\x03\x01 nonsense\r\n\r\n");
    CHECK(answer.starts_with("HTTP/1.1 400 "));
  });
}

TEST_CASE("http server: too large a body or header is refused before it is read") {
  http::limits bounds;
  bounds.max_body_bytes = 1000;
  bounds.max_header_bytes = 2048;
  fixture with({}, bounds);
  run(with.io, [&]() -> asio::awaitable<void> {
    const std::string large(500'000, 'x');
    const auto body = co_await with.call("POST", "/v1/echo", large);
    CHECK(body.status == 413);
    const auto chunked =
        co_await with.raw("POST /v1/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n" +
                          std::string(2000, 'x') + "\r\n0\r\n\r\n");
    CHECK(chunked.starts_with("HTTP/1.1 413 "));
    const auto header = co_await with.raw("GET /v1/ping HTTP/1.1\r\nX: " + std::string(100'000, 'y') + "\r\n\r\n");
    CHECK(header.starts_with("HTTP/1.1 431 "));
    // Neither of a body nor of a header, so neither bound holds it: a chunk's line that does not end.
    const auto endless = co_await with.raw("POST /v1/echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;" +
                                           std::string(1'000'000, 'a'));
    CHECK(endless.starts_with("HTTP/1.1 431 "));
  });
  const auto counted = with.metrics.exposition();
  CHECK(counted.find("status=\"413\"} ") != std::string::npos);
  CHECK(counted.find("http_http_requests_total{route=\"/v1/echo\",status=\"431\"} 1") != std::string::npos);
}

TEST_CASE("http server: two requests use one connection, and an idle one is closed in time") {
  http::limits bounds;
  bounds.idle_timeout = 100ms;
  fixture with({}, bounds);
  run(with.io, [&]() -> asio::awaitable<void> {
    const auto before = std::chrono::steady_clock::now();
    const std::string once = "GET /v1/ping HTTP/1.1\r\nHost: x\r\n\r\n";
    const auto answer = co_await with.raw(once + once);
    const auto took = std::chrono::steady_clock::now() - before;
    CHECK(answer.find("pong") != answer.rfind("pong"));
    CHECK(took >= 90ms);
    CHECK(took < 3s);
  });
  CHECK(with.under_test->connections() == 0);
}

TEST_CASE("http server: a request that trickles in is cut off at its deadline") {
  http::limits bounds;
  bounds.read_timeout = 200ms;
  fixture with({}, bounds);
  run(with.io, [&]() -> asio::awaitable<void> {
    asio::local::stream_protocol::socket socket(with.io);
    const asio::local::stream_protocol::endpoint to(with.path);
    co_await socket.async_connect(to, as_values);
    const auto before = std::chrono::steady_clock::now();
    const std::string drop = "G";
    const auto out = asio::buffer(drop);
    while (std::chrono::steady_clock::now() - before < 5s) {
      const auto [ec, count] = co_await asio::async_write(socket, out, as_values);
      if (ec) break;
      co_await pause(20ms);
    }
    const auto took = std::chrono::steady_clock::now() - before;
    CHECK(took >= 150ms);
    CHECK(took < 3s);
  });
}

TEST_CASE("http server: connections over the bound are told so, and a freed place is used") {
  http::limits bounds;
  bounds.max_connections = 2;
  fixture with({}, bounds);
  run(with.io, [&]() -> asio::awaitable<void> {
    std::vector<asio::local::stream_protocol::socket> held;
    const asio::local::stream_protocol::endpoint to(with.path);
    for (int i = 0; i < 2; ++i) {
      held.emplace_back(with.io);
      co_await held.back().async_connect(to, as_values);
    }
    const auto both_in = [&] { return with.under_test->connections() == 2; };
    CHECK(co_await until(both_in));
    const auto refused = co_await with.call("GET", "/v1/ping");
    CHECK(refused.status == 503);
    CHECK(refused.headers.contains("retry-after"));
    held.clear();
    const auto none_left = [&] { return with.under_test->connections() == 0; };
    CHECK(co_await until(none_left));
    const auto served = co_await with.call("GET", "/v1/ping");
    CHECK(served.status == 200);
  });
}

TEST_CASE("http server: what a handler throws is logged and shows nothing inside") {
  fixture with([](http::router& table, fixture&) {
    table.add("GET", "/boom", [](request) -> asio::awaitable<response> {
      throw std::runtime_error("secret table name");
      co_return response();
    });
    table.add("GET", "/away", [](request) -> asio::awaitable<response> {
      throw base::failure(base::make_error(base::error_kind::unavailable, "the database is away"));
      co_return response();
    });
  });
  run(with.io, [&]() -> asio::awaitable<void> {
    const auto boom = co_await with.call("GET", "/boom");
    CHECK(boom.status == 500);
    CHECK(boom.body.find("secret") == std::string::npos);
    const auto away = co_await with.call("GET", "/away");
    CHECK(away.status == 503);
    CHECK(away.body.find("the database is away") != std::string::npos);
  });
  REQUIRE(with.log_lines.size() == 1);
  CHECK(with.log_lines[0].find("secret table name") != std::string::npos);
}

TEST_CASE("http server: a handler that takes too long is cancelled and answered with 504") {
  http::limits bounds;
  bounds.handler_timeout = 50ms;
  fixture with(
      [](http::router& table, fixture&) {
        table.add("GET", "/slow", [](request) -> asio::awaitable<response> {
          asio::steady_timer timer(co_await asio::this_coro::executor, 1h);
          co_await timer.async_wait(asio::use_awaitable);
          co_return response();
        });
      },
      bounds);
  run(with.io, [&]() -> asio::awaitable<void> {
    const auto slow = co_await with.call("GET", "/slow");
    CHECK(slow.status == 504);
  });
}

TEST_CASE("http server: changing over TCP needs the token, reading does not") {
  fixture with;
  http::server_options options;
  options.listen = "127.0.0.1:0";
  options.bearer_token = "sesame";
  http::router table;
  table.add("POST", "/x", [](request) -> asio::awaitable<response> { co_return http::text_response(200, "done"); });
  table.add("GET", "/x", [](request) -> asio::awaitable<response> { co_return http::text_response(200, "read"); });
  with.start(options, table);
  run(with.io, [&]() -> asio::awaitable<void> {
    http::client_request what;
    what.to.host = "127.0.0.1";
    what.to.port = std::to_string(with.under_test->port());
    what.target = "/x";
    const auto read = co_await http::call(what);
    CHECK(read.value().status == 200);
    what.method = "POST";
    const auto none = co_await http::call(what);
    CHECK(none.value().status == 401);
    CHECK(none.value().headers.at("www-authenticate") == "Bearer");
    what.token = "sesamE";
    const auto wrong = co_await http::call(what);
    CHECK(wrong.value().status == 401);
    what.token = "sesame";
    const auto right = co_await http::call(what);
    CHECK(right.value().status == 200);
  });
}

TEST_CASE("http server: a request that is refused anyway is refused before its body") {
  fixture with;
  http::server_options options;
  options.listen = "127.0.0.1:0";
  options.bearer_token = "sesame";
  http::router table;
  table.add("POST", "/x", [](request) -> asio::awaitable<response> { co_return http::text_response(200, "done"); });
  with.start(options, table);
  run(with.io, [&]() -> asio::awaitable<void> {
    const auto first_line_for = [&](std::string path) -> asio::awaitable<std::string> {
      asio::ip::tcp::socket socket(with.io);
      const asio::ip::tcp::endpoint to(asio::ip::make_address("127.0.0.1"), with.under_test->port());
      co_await socket.async_connect(to, as_values);
      const std::string head =
          "POST " + path + " HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 8000000\r\n\r\n";
      const auto out = asio::buffer(head);
      co_await asio::async_write(socket, out, as_values);
      std::string answer(12, '\0');
      auto in = asio::buffer(answer);
      co_await asio::async_read(socket, in, as_values);
      co_return answer;
    };
    CHECK(co_await first_line_for("/x") == "HTTP/1.1 401");
    CHECK(co_await first_line_for("/nothing") == "HTTP/1.1 404");
  });
}

TEST_CASE("http server: only a loopback address goes without a token") {
  asio::io_context io;
  telemetry::metrics metrics;
  http::server_options options;
  options.listen = GENERATE(as<std::string>{}, "0.0.0.0:0", "[::]:0", "nonsense", "127.0.0.1:", "127.0.0.1:99999");
  http::server open(io.get_executor(), options, http::router(), telemetry::logger::none(), metrics);
  const auto started = open.start();
  REQUIRE(started.has_error());
  CHECK(started.error().kind == base::error_kind::invalid_input);
}

TEST_CASE("http server: a stale socket is replaced, one in use or another file is not") {
  fixture with;
  telemetry::metrics metrics;
  http::server_options options;
  options.unix_socket = with.path;
  http::server second(with.io.get_executor(), options, http::router(), telemetry::logger::none(), metrics);
  const auto in_use = second.start();
  REQUIRE(in_use.has_error());
  CHECK(in_use.error().kind == base::error_kind::conflict);

  with.under_test->stop();
  CHECK_FALSE(std::filesystem::exists(with.path));
  { asio::local::stream_protocol::acceptor stale(with.io, asio::local::stream_protocol::endpoint(with.path)); }
  REQUIRE(std::filesystem::exists(with.path));
  CHECK(second.start().has_value());
  second.stop();

  std::ofstream(with.path) << "precious";
  http::server third(with.io.get_executor(), options, http::router(), telemetry::logger::none(), metrics);
  CHECK(third.start().has_error());
  CHECK(std::filesystem::file_size(with.path) == 8);
}

TEST_CASE("http server: a drain answers what is under way and closes what is idle") {
  std::shared_ptr<asio::steady_timer> gate;
  bool entered = false;
  fixture with([&](http::router& table, fixture& in) {
    gate = std::make_shared<asio::steady_timer>(in.io, 1h);
    table.add("GET", "/work", [&](request) -> asio::awaitable<response> {
      entered = true;
      co_await gate->async_wait(as_values);
      co_return http::text_response(200, "finished");
    });
  });
  run(with.io, [&]() -> asio::awaitable<void> {
    asio::local::stream_protocol::socket idle(with.io);
    const asio::local::stream_protocol::endpoint to(with.path);
    co_await idle.async_connect(to, as_values);
    std::optional<http::client_response> answer;
    const auto work = [&]() -> asio::awaitable<void> { answer = co_await with.call("GET", "/work"); };
    asio::co_spawn(with.io, work(), [](std::exception_ptr) {});
    const auto both_in = [&] { return entered && with.under_test->connections() == 2; };
    CHECK(co_await until(both_in));
    bool drained = false;
    const auto drain = [&]() -> asio::awaitable<void> {
      co_await with.under_test->drain(5s);
      drained = true;
    };
    asio::co_spawn(with.io, drain(), [](std::exception_ptr) {});
    const auto one_left = [&] { return with.under_test->connections() == 1; };
    CHECK(co_await until(one_left));
    CHECK_FALSE(drained);
    CHECK_FALSE(std::filesystem::exists(with.path));
    gate->cancel();
    const auto all_done = [&] { return drained && answer.has_value(); };
    CHECK(co_await until(all_done));
    CHECK(answer->body == "finished");
    CHECK(with.under_test->connections() == 0);
  });
  gate.reset();  // a timer must not outlive its loop
}

TEST_CASE("http server: a drain does not wait longer than its grace") {
  fixture with([&](http::router& table, fixture&) {
    table.add("GET", "/work", [](request) -> asio::awaitable<response> {
      co_await pause(1h);
      co_return response();
    });
  });
  run(with.io, [&]() -> asio::awaitable<void> {
    const auto work = [&]() -> asio::awaitable<void> { co_await with.call("GET", "/work"); };
    asio::co_spawn(with.io, work(), [](std::exception_ptr) {});
    const auto one_in = [&] { return with.under_test->connections() == 1; };
    CHECK(co_await until(one_in));
    const auto before = std::chrono::steady_clock::now();
    co_await with.under_test->drain(100ms);
    CHECK(std::chrono::steady_clock::now() - before < 3s);
  });
}

TEST_CASE("http server: health, readiness and metrics") {
  telemetry::health_state health;
  health.require("database");
  fixture with([&](http::router& table, fixture& in) { http::add_health_routes(table, health, in.metrics); });
  run(with.io, [&]() -> asio::awaitable<void> {
    const auto alive = co_await with.call("GET", "/healthz");
    CHECK(alive.status == 200);
    const auto missing = co_await with.call("GET", "/readyz");
    CHECK(missing.status == 503);
    CHECK(missing.body.find("database") != std::string::npos);
    health.set("database", true);
    const auto ready = co_await with.call("GET", "/readyz");
    CHECK(ready.status == 200);
    const auto metrics = co_await with.call("GET", "/metrics");
    CHECK(metrics.body.find("http_http_requests_total{route=\"/readyz\",status=\"503\"} 1") != std::string::npos);
  });
}
