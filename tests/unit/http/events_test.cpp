#include "common/http/event_stream.hpp"
#include "tests/unit/http/support.hpp"

using namespace fleet;
using namespace fleet::http::test;
using http::request;
using http::response;

namespace {

struct hub_fixture {
  std::unique_ptr<http::event_hub> hub;
  fixture with;

  explicit hub_fixture(http::limits bounds = {})
      : with(
            [this](http::router& table, fixture& in) {
              hub = std::make_unique<http::event_hub>(in.io.get_executor(), 4);
              table.add("GET", "/v1/events", [this](request) -> asio::awaitable<response> {
                auto stream = hub->subscribe();
                if (!stream) co_return http::problem(503, "unavailable", "too many readers of events");
                co_return http::stream_response(stream);
              });
            },
            bounds) {}
};

}  // namespace

TEST_CASE("event stream: events arrive in order, data of several lines as one") {
  hub_fixture events;
  run(events.with.io, [&]() -> asio::awaitable<void> {
    auto what = events.with.request_to("GET", "/v1/events");
    auto reader = co_await http::event_reader::open(what);
    REQUIRE(reader.has_value());
    for (int i = 0; i < 20; ++i) events.hub->publish("step", "number " + std::to_string(i) + "\nsecond line");
    for (int i = 0; i < 20; ++i) {
      const auto event = co_await reader->next(2s);
      REQUIRE(event.has_value());
      REQUIRE(event->has_value());
      CHECK((*event)->name == "step");
      CHECK((*event)->data == "number " + std::to_string(i) + "\nsecond line");
    }
    events.hub->close();
    const auto end = co_await reader->next(2s);
    REQUIRE(end.has_value());
    CHECK_FALSE(end->has_value());
  });
}

TEST_CASE("event stream: a silent stream gets heartbeats, which readers do not see") {
  http::limits bounds;
  bounds.heartbeat = 20ms;
  hub_fixture events(bounds);
  run(events.with.io, [&]() -> asio::awaitable<void> {
    asio::local::stream_protocol::socket socket(events.with.io);
    const asio::local::stream_protocol::endpoint to(events.with.path);
    co_await socket.async_connect(to, as_values);
    const std::string ask = "GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n";
    const auto out = asio::buffer(ask);
    co_await asio::async_write(socket, out, as_values);
    std::string text;
    std::array<char, 1024> chunk{};
    const auto room = asio::buffer(chunk);
    while (text.find("\n: ") == std::string::npos || text.find("\n: ") == text.rfind("\n: ")) {
      const auto [ec, count] = co_await socket.async_read_some(room, as_values);
      REQUIRE_FALSE(ec);
      text.append(chunk.data(), count);
    }
    CHECK(text.find("text/event-stream") != std::string::npos);
    auto what = events.with.request_to("GET", "/v1/events");
    auto reader = co_await http::event_reader::open(what);
    REQUIRE(reader.has_value());
    co_await pause(60ms);
    events.hub->publish("step", "x");
    const auto event = co_await reader->next(2s);
    CHECK(event.value().value().data == "x");
  });
}

TEST_CASE("event stream: a client that leaves is noticed at once, and readers are bounded") {
  hub_fixture events;
  run(events.with.io, [&]() -> asio::awaitable<void> {
    auto what = events.with.request_to("GET", "/v1/events");
    std::vector<http::event_reader> readers;
    for (int i = 0; i < 4; ++i) {
      auto reader = co_await http::event_reader::open(what);
      REQUIRE(reader.has_value());
      readers.push_back(std::move(*reader));
    }
    const auto fifth = co_await http::event_reader::open(what);
    REQUIRE(fifth.has_error());
    CHECK(fifth.error().kind == base::error_kind::unavailable);
    readers.clear();
    const auto all_gone = [&] { return events.hub->subscribers() == 0 && events.with.under_test->connections() == 0; };
    CHECK(co_await until(all_gone));
  });
}

TEST_CASE("event stream: a slow client is dropped when its queue is full") {
  asio::io_context io;
  http::event_stream stream(io.get_executor(), 3);
  for (int i = 0; i < 3; ++i) CHECK(stream.push("e", "x"));
  CHECK_FALSE(stream.push("e", "x"));
  CHECK(stream.closed());
  CHECK(stream.drained());
}

TEST_CASE("event stream: a line break in a name cannot forge a field") {
  asio::io_context io;
  http::event_stream stream(io.get_executor());
  stream.push("a\nid: 7", "x\r\ny");
  run(io, [&]() -> asio::awaitable<void> {
    const auto text = co_await stream.next(1s);
    CHECK(text.value() == "event: aid: 7\ndata: x\ndata: y\n\n");
  });
}

TEST_CASE("event stream: a drain ends it") {
  hub_fixture events;
  run(events.with.io, [&]() -> asio::awaitable<void> {
    auto what = events.with.request_to("GET", "/v1/events");
    auto reader = co_await http::event_reader::open(what);
    REQUIRE(reader.has_value());
    const auto before = std::chrono::steady_clock::now();
    co_await events.with.under_test->drain(5s);
    CHECK(std::chrono::steady_clock::now() - before < 2s);
    const auto end = co_await reader->next(2s);
    CHECK((end.has_value() && !end->has_value()));
  });
}

TEST_CASE("http client: nobody there and nobody answering are errors of their kind") {
  asio::io_context io;
  run(io, [&]() -> asio::awaitable<void> {
    http::client_request what;
    what.to.unix_socket = "/nonexistent/x.sock";
    const auto nobody = co_await http::call(what);
    REQUIRE(nobody.has_error());
    CHECK(nobody.error().kind == base::error_kind::unavailable);
    const auto path =
        (std::filesystem::temp_directory_path() / ("mute_" + std::to_string(::getpid()) + ".sock")).string();
    std::filesystem::remove(path);
    asio::local::stream_protocol::acceptor mute(io, asio::local::stream_protocol::endpoint(path));
    what.to.unix_socket = path;
    what.timeout = 50ms;
    const auto late = co_await http::call(what);
    REQUIRE(late.has_error());
    CHECK(late.error().kind == base::error_kind::timeout);
    std::filesystem::remove(path);
  });
}
