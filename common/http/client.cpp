#include "common/http/client.hpp"

#include <fmt/format.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/buffers_to_string.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <charconv>

#include "common/base/json.hpp"

namespace fleet::http {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace wire = boost::beast::http;
using stream_type = beast::basic_stream<asio::generic::stream_protocol>;

using peer_address = asio::generic::stream_protocol::endpoint;

constexpr auto as_values = asio::as_tuple(asio::use_awaitable);
constexpr std::size_t max_answer_bytes = 64U * 1024 * 1024;
constexpr std::size_t max_event_bytes = 1024U * 1024;

std::string name_of(const endpoint& to) {
  return to.unix_socket.empty() ? fmt::format("{}:{}", to.host, to.port) : to.unix_socket;
}

base::error to_error(beast::error_code ec, const endpoint& to, std::string_view doing) {
  if (ec == beast::error::timeout)
    return base::make_error(base::error_kind::timeout, fmt::format("{} took too long: {}", name_of(to), doing));
  return base::make_error(base::error_kind::unavailable, fmt::format("{}: {}: {}", name_of(to), doing, ec.message()));
}

/// Not as a result: the generic endpoint converts from anything, an error included.
base::result<void> resolve(const endpoint& to, peer_address& into) {
  if (!to.unix_socket.empty()) {
    // sun_path holds 108 bytes with the closing zero.
    if (to.unix_socket.size() > 107)
      return base::invalid_fields({{"endpoint", "the path is too long for a Unix socket"}});
    into = asio::local::stream_protocol::endpoint(to.unix_socket);
    return {};
  }
  beast::error_code ec;
  const auto address = asio::ip::make_address(to.host == "localhost" ? "127.0.0.1" : to.host, ec);
  std::uint16_t port = 0;
  const auto [end, wrong] = std::from_chars(to.port.data(), to.port.data() + to.port.size(), port);
  if (ec || wrong != std::errc{})
    return base::invalid_fields({{"endpoint", fmt::format("expected an IP address or localhost, got {}", to.host)}});
  into = asio::ip::tcp::endpoint(address, port);
  return {};
}

wire::request<wire::string_body> to_message(client_request& what, std::string_view accept) {
  wire::request<wire::string_body> message;
  message.version(11);
  message.method_string(what.method);
  message.target(what.target);
  message.set(wire::field::host, what.to.unix_socket.empty() ? name_of(what.to) : "localhost");
  message.set(wire::field::accept, beast::string_view(accept));
  message.set(wire::field::connection, "close");
  if (!what.token.empty()) message.set(wire::field::authorization, "Bearer " + what.token);
  if (!what.body.empty()) message.set(wire::field::content_type, "application/json");
  message.body() = std::move(what.body);
  message.prepare_payload();
  return message;
}

using answer_parser = wire::response_parser<wire::string_body>;

client_response to_response(answer_parser& parser) {
  client_response answer;
  auto message = parser.release();
  answer.status = message.result_int();
  for (const auto& header : message) {
    std::string name(header.name_string());
    for (char& c : name)
      if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    answer.headers.insert_or_assign(std::move(name), std::string(header.value()));
  }
  answer.body = std::move(message.body());
  return answer;
}

/// Connects, sends, and reads the header of the answer; the stream's deadline is running.
asio::awaitable<base::result<void>> begin(stream_type& stream, beast::flat_buffer& buffer, answer_parser& parser,
                                          client_request& what, std::string_view accept) {
  peer_address address;
  const auto resolved = resolve(what.to, address);
  if (!resolved) co_return resolved.error();
  const auto to = what.to;
  stream.expires_after(what.timeout);
  const auto [connect_ec] = co_await stream.async_connect(address, as_values);
  if (connect_ec) co_return to_error(connect_ec, to, "connecting");
  const bool head = what.method == "HEAD";
  const auto message = to_message(what, accept);
  const auto [write_ec, written] = co_await wire::async_write(stream, message, as_values);
  // A refusal can come while the body is still being sent: read it before complaining.
  parser.body_limit(max_answer_bytes);
  parser.skip(head);
  const auto [read_ec, count] = co_await wire::async_read_header(stream, buffer, parser, as_values);
  if (read_ec && write_ec) co_return to_error(write_ec, to, "sending");
  if (read_ec) co_return to_error(read_ec, to, "waiting for the answer");
  co_return base::result<void>();
}

}  // namespace

base::result<endpoint> endpoint::parse(std::string_view text) {
  endpoint to;
  if (text.starts_with("unix:")) text.remove_prefix(5);
  if (text.starts_with("/") || text.starts_with("./")) {
    to.unix_socket = std::string(text);
    return to;
  }
  if (text.starts_with("http://")) text.remove_prefix(7);
  while (text.ends_with("/")) text.remove_suffix(1);
  const auto colon = text.rfind(':');
  const bool good = colon != std::string_view::npos && colon > 0 && colon + 1 < text.size();
  if (!good) return base::invalid_fields({{"endpoint", "expected a socket's path or address:port"}});
  to.host = std::string(text.substr(0, colon));
  to.port = std::string(text.substr(colon + 1));
  if (to.host.size() > 2 && to.host.front() == '[' && to.host.back() == ']')
    to.host = to.host.substr(1, to.host.size() - 2);
  return to;
}

asio::awaitable<base::result<client_response>> call(client_request what) {
  stream_type stream(co_await asio::this_coro::executor);
  beast::flat_buffer buffer;
  answer_parser parser;
  const auto begun = co_await begin(stream, buffer, parser, what, "application/json");
  if (!begun) co_return begun.error();
  const auto [ec, count] = co_await wire::async_read(stream, buffer, parser, as_values);
  if (ec) co_return to_error(ec, what.to, "reading the answer");
  co_return to_response(parser);
}

base::result<client_response> call_blocking(client_request what) {
  asio::io_context io(1);
  base::result<client_response> answer = base::make_error(base::error_kind::internal, "no answer");
  std::exception_ptr failed;
  const auto done = [&](std::exception_ptr thrown, base::result<client_response> came) {
    failed = thrown;
    answer = std::move(came);
  };
  asio::co_spawn(io, call(std::move(what)), done);
  io.run();
  if (failed) std::rethrow_exception(failed);
  return answer;
}

base::error error_of(const client_response& answer) {
  base::error what;
  switch (answer.status) {
    case 400:
      what.kind = base::error_kind::invalid_input;
      break;
    case 401:
    case 403:
      what.kind = base::error_kind::refused;
      break;
    case 404:
      what.kind = base::error_kind::not_found;
      break;
    case 409:
      what.kind = base::error_kind::conflict;
      break;
    case 503:
      what.kind = base::error_kind::unavailable;
      break;
    case 504:
      what.kind = base::error_kind::timeout;
      break;
    default:
      what.kind = base::error_kind::internal;
      break;
  }
  what.message = fmt::format("HTTP status {}", answer.status);
  const auto body = base::parse_json_object(answer.body);
  if (!body) return what;
  if (const auto* detail = body->if_contains("detail"); detail != nullptr && detail->is_string())
    what.message = std::string(detail->get_string());
  const auto* errors = body->if_contains("errors");
  if (errors == nullptr || !errors->is_array()) return what;
  for (const auto& entry : errors->get_array()) {
    const auto* one = entry.if_object();
    const auto* field = one == nullptr ? nullptr : one->if_contains("field");
    const auto* message = one == nullptr ? nullptr : one->if_contains("message");
    if (field != nullptr && field->is_string() && message != nullptr && message->is_string())
      what.fields.push_back({std::string(field->get_string()), std::string(message->get_string())});
  }
  return what;
}

struct event_reader::state {
  explicit state(asio::any_io_executor executor) : stream(executor) {}
  endpoint to;
  stream_type stream;
  std::string pending;  ///< bytes after the last whole line
};

event_reader::event_reader(std::unique_ptr<state> from) : state_(std::move(from)) {}
event_reader::event_reader(event_reader&&) noexcept = default;
event_reader& event_reader::operator=(event_reader&&) noexcept = default;
event_reader::~event_reader() = default;

asio::awaitable<base::result<event_reader>> event_reader::open(client_request what) {
  auto made = std::make_unique<state>(co_await asio::this_coro::executor);
  made->to = what.to;
  beast::flat_buffer buffer;
  answer_parser parser;
  const auto begun = co_await begin(made->stream, buffer, parser, what, "text/event-stream");
  if (!begun) co_return begun.error();
  const auto type = parser.get()[wire::field::content_type];
  if (parser.get().result_int() != 200 || !type.starts_with("text/event-stream")) {
    const auto [ec, count] = co_await wire::async_read(made->stream, buffer, parser, as_values);
    if (ec) co_return to_error(ec, what.to, "reading the answer");
    const auto answer = to_response(parser);
    co_return error_of(answer);
  }
  made->pending = beast::buffers_to_string(buffer.data());
  event_reader reader(std::move(made));
  co_return base::result<event_reader>(std::move(reader));
}

namespace {

/// Takes the first whole event off `pending`; nothing where none is complete. Comments alone make no event.
std::optional<server_event> take_event(std::string& pending) {
  while (true) {
    const auto end = pending.find("\n\n");
    if (end == std::string::npos) return std::nullopt;
    std::string_view block(pending.data(), end);
    server_event event;
    bool any = false;
    while (!block.empty()) {
      const auto line = block.substr(0, block.find('\n'));
      block.remove_prefix(std::min(block.size(), line.size() + 1));
      if (line.starts_with("event: ")) event.name = std::string(line.substr(7));
      if (!line.starts_with("data: ")) continue;
      if (any) event.data += '\n';
      event.data += line.substr(6);
      any = true;
    }
    pending.erase(0, end + 2);
    if (any) return event;
  }
}

}  // namespace

asio::awaitable<base::result<std::optional<server_event>>> event_reader::next(std::chrono::milliseconds timeout) {
  using outcome = base::result<std::optional<server_event>>;
  state_->stream.expires_after(timeout);
  std::array<char, 4096> chunk{};
  const auto room = asio::buffer(chunk);
  while (true) {
    auto event = take_event(state_->pending);
    if (event) co_return outcome(std::move(event));
    if (state_->pending.size() > max_event_bytes)
      co_return base::make_error(base::error_kind::invalid_input, "an event of more than 1 MiB");
    const auto [ec, count] = co_await state_->stream.async_read_some(room, as_values);
    if (ec == asio::error::eof) co_return outcome(std::optional<server_event>());
    if (ec) co_return to_error(ec, state_->to, "waiting for an event");
    state_->pending.append(chunk.data(), count);
  }
}

}  // namespace fleet::http
