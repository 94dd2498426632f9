#include "common/http/session.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <chrono>

#include "common/base/text.hpp"
#include "common/http/access.hpp"

namespace fleet::http::detail {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace wire = boost::beast::http;
using namespace std::chrono_literals;

constexpr auto as_values = asio::as_tuple(asio::use_awaitable);

/// What came in: a request, or the refusal of one that was not read to its end, or (both empty) nothing that can be
/// answered.
struct inbound {
  std::optional<wire::request<wire::string_body>> message;
  std::optional<response> refused;
  request head;  ///< of the refused one, as far as it was read
  std::string route = "none";
};

void refuse(inbound& in, beast::error_code ec, const limits& bounds) {
  if (ec == wire::error::body_limit) {
    in.refused = problem(413, "", "the body has more than " + std::to_string(bounds.max_body_bytes) + " bytes");
  } else if (ec == wire::error::header_limit || ec == wire::error::buffer_overflow) {
    in.refused = problem(431, "", "the header has more than " + std::to_string(bounds.max_header_bytes) + " bytes");
  } else if (ec.category() == make_error_code(wire::error::bad_method).category() && ec != wire::error::end_of_stream &&
             ec != wire::error::partial_message) {
    in.refused = problem(400, "", "not an HTTP request: " + ec.message());
  }
}

std::string lower(beast::string_view text) {
  std::string copy(text);
  for (char& c : copy)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return copy;
}

bool read_query(std::string_view text, request& into) {
  if (text.empty()) return true;
  for (const auto& pair : base::split(text, '&')) {
    const auto equals = pair.find('=');
    auto name = percent_decode(pair.substr(0, equals), true);
    auto value = percent_decode(equals == std::string::npos ? "" : std::string_view(pair).substr(equals + 1), true);
    if (!name || !value) return false;
    if (!name->empty()) into.query.emplace_back(std::move(*name), std::move(*value));
  }
  return true;
}

/// All but the body. False: the target is malformed.
bool read_head(const wire::request<wire::string_body>& message, request& into) {
  into.method = std::string(message.method_string());
  into.target = std::string(message.target());
  const auto mark = into.target.find('?');
  into.path = into.target.substr(0, mark);
  if (into.path.empty() || into.path.front() != '/') return false;
  for (const auto& header : message) {
    auto& value = into.headers[lower(header.name_string())];
    if (!value.empty()) value += ", ";
    value += std::string_view(header.value().data(), header.value().size());
  }
  return mark == std::string::npos || read_query(std::string_view(into.target).substr(mark + 1), into);
}

/// Why a request is not for a handler: no such path, no such method there, not permitted.
std::optional<response> refusal_of(const session_state& state, bool local, const router::match& found,
                                   const request& what) {
  if (found.call == nullptr) {
    if (found.allow.empty()) return problem(404, "not_found", "nothing is at this path");
    auto refusal = problem(405, "method_not_allowed", "this path has " + found.allow);
    refusal.headers.emplace_back("Allow", found.allow);
    return refusal;
  }
  return check_access(what, state.options.bearer_token, local);
}

/// Nobody fills the memory with bodies of requests that are refused anyway.
void refuse_before_body(const session_state& state, const connection& peer,
                        const wire::request<wire::string_body>& message, inbound& in) {
  if (!read_head(message, in.head)) return;
  const auto found = state.routes.find(in.head.method, in.head.path);
  if (!found.pattern.empty()) in.route = found.pattern;
  in.refused = refusal_of(state, peer.local, found, in.head);
}

asio::awaitable<inbound> read_request(session_state& state, connection& peer, beast::flat_buffer& buffer) {
  inbound in;
  const auto& bounds = state.options.bounds;
  if (buffer.size() == 0) {
    peer.idle = true;
    peer.stream.expires_after(bounds.idle_timeout);
    auto room = buffer.prepare(4096);
    const auto [ec, count] = co_await peer.stream.async_read_some(room, as_values);
    if (ec) co_return in;
    buffer.commit(count);
  }
  peer.idle = false;
  wire::request_parser<wire::string_body> parser;
  parser.header_limit(static_cast<std::uint32_t>(bounds.max_header_bytes));
  parser.body_limit(bounds.max_body_bytes);
  // One deadline from the first byte to the last, so that a peer cannot stretch it byte by byte. It closes the socket
  // when it passes; there is nobody to answer then.
  peer.stream.expires_after(bounds.read_timeout);
  const auto [header_ec, header_count] = co_await wire::async_read_header(peer.stream, buffer, parser, as_values);
  if (header_ec) {
    refuse(in, header_ec, bounds);
    co_return in;
  }
  if (!parser.is_done()) refuse_before_body(state, peer, parser.get(), in);
  if (in.refused) co_return in;
  if (beast::iequals(parser.get()[wire::field::expect], "100-continue")) {
    const std::string go_on = "HTTP/1.1 100 Continue\r\n\r\n";
    const auto text = asio::buffer(go_on);
    const auto [ec, count] = co_await asio::async_write(peer.stream, text, as_values);
    if (ec) co_return in;
  }
  const auto [body_ec, body_count] = co_await wire::async_read(peer.stream, buffer, parser, as_values);
  if (body_ec) {
    refuse(in, body_ec, bounds);
    co_return in;
  }
  in.message = parser.release();
  co_return in;
}

/// Runs the handler and turns whatever it throws into a problem; never throws itself, as the race with the timer needs.
asio::awaitable<response> run_handler(std::shared_ptr<session_state> state, const handler* call, request what) {
  const auto route = what.method + " " + what.path;
  try {
    co_return co_await (*call)(std::move(what));
  } catch (const base::failure& failed) {
    if (failed.get().kind == base::error_kind::internal)
      state->log.error("http_handler_failed", failed.what(), {{"request", route}});
    co_return problem(failed.get());
  } catch (const std::exception& failed) {
    state->log.error("http_handler_failed", failed.what(), {{"request", route}});
  } catch (...) {
    state->log.error("http_handler_failed", "an exception of unknown type", {{"request", route}});
  }
  co_return problem(base::make_error(base::error_kind::internal, "handler failed"));
}

asio::awaitable<response> answer(std::shared_ptr<session_state> state, bool local, router::match found, request what) {
  if (auto refusal = refusal_of(*state, local, found, what)) co_return std::move(*refusal);
  asio::steady_timer limit(state->executor);
  limit.expires_after(state->options.bounds.handler_timeout);
  auto work = run_handler(state, found.call, std::move(what));
  auto late = limit.async_wait(as_values);
  using namespace asio::experimental::awaitable_operators;
  auto first = co_await (std::move(work) || std::move(late));
  if (first.index() == 0) co_return std::move(std::get<0>(first));
  co_return problem(504, "timeout", "the request took too long; whether it took effect is unknown");
}

struct reply_terms {
  unsigned version = 11;
  bool keep_alive = false;
  bool head = false;
};

template <class Message>
void set_headers(Message& message, const response& from) {
  message.result(from.status);
  message.reason(beast::string_view(reason_phrase(from.status)));
  message.set(wire::field::content_type, from.content_type);
  message.set(wire::field::cache_control, "no-store");
  message.set("X-Content-Type-Options", "nosniff");
  for (const auto& [name, value] : from.headers)
    if (!base::has_control_characters(value)) message.set(name, value);
}

/// True: sent whole.
asio::awaitable<bool> send(session_state& state, connection& peer, reply_terms terms, response from) {
  wire::response<wire::string_body> message;
  message.version(terms.version);
  set_headers(message, from);
  message.keep_alive(terms.keep_alive);
  const bool bodiless = from.status == 204 || from.status == 304;
  if (!bodiless) message.content_length(from.body.size());
  if (!terms.head && !bodiless) message.body() = std::move(from.body);
  peer.stream.expires_after(state.options.bounds.write_timeout);
  const auto [ec, count] = co_await wire::async_write(peer.stream, message, as_values);
  co_return !ec;
}

/// Reads what a client of an event stream sends (nothing, in fact) to see at once when it has gone.
asio::awaitable<void> watch_for_end(std::shared_ptr<connection> peer, std::shared_ptr<event_stream> events) {
  std::array<char, 512> ignored{};
  const auto room = asio::buffer(ignored);
  while (true) {
    const auto [ec, count] = co_await peer->stream.async_read_some(room, as_values);
    if (ec) break;
  }
  events->close();
}

asio::awaitable<void> send_events(std::shared_ptr<session_state> state, std::shared_ptr<connection> peer,
                                  response from) {
  auto events = from.stream;
  peer->events = events;
  wire::response<wire::empty_body> head;
  head.version(11);
  set_headers(head, from);
  head.keep_alive(false);  // the stream ends with the connection: no chunks, no length
  wire::response_serializer<wire::empty_body> serializer(head);
  peer->stream.expires_after(state->options.bounds.write_timeout);
  const auto [ec, count] = co_await wire::async_write_header(peer->stream, serializer, as_values);
  if (ec) {
    events->close();
    co_return;
  }
  peer->stream.expires_never();
  asio::co_spawn(state->executor, watch_for_end(peer, events), asio::detached);
  const std::string beat = ": still here\n\n";
  while (!events->drained() && !state->stopped) {
    const auto next = co_await events->next(state->options.bounds.heartbeat);
    if (!next && events->closed()) break;
    const auto text = asio::buffer(next ? *next : beat);
    // Only of the write: the watching read is under way and keeps its "never".
    peer->stream.expires_after(state->options.bounds.write_timeout);
    const auto [write_ec, written] = co_await asio::async_write(peer->stream, text, as_values);
    if (write_ec) break;
  }
  events->close();
}

/// Closing with unread input resets the connection and the peer loses the answer: read on for a moment.
asio::awaitable<void> linger(connection& peer) {
  beast::error_code ignored;
  peer.stream.socket().shutdown(asio::socket_base::shutdown_send, ignored);
  std::array<char, 16384> waste{};
  const auto room = asio::buffer(waste);
  std::size_t left = 16U * 1024 * 1024;
  peer.stream.expires_after(1s);
  while (left > 0) {
    const auto [ec, count] = co_await peer.stream.async_read_some(room, as_values);
    if (ec) break;
    left -= std::min(left, count);
  }
}

void count_request(session_state& state, const request& what, const std::string& route, unsigned status,
                   std::chrono::steady_clock::time_point since) {
  if (state.stopped) return;
  const auto took = std::chrono::duration<double>(std::chrono::steady_clock::now() - since).count();
  const auto& prefix = state.options.metrics_prefix;
  const telemetry::labels by_status{{"route", route}, {"status", std::to_string(status)}};
  const telemetry::labels by_route{{"route", route}};
  state.metrics.get_counter(prefix + "_http_requests_total", "Answered HTTP requests", by_status).increment();
  state.metrics.get_histogram(prefix + "_http_request_seconds", "Time to an answer", by_route).observe(took);
  state.log.debug("http_request", what.path, {{"method", what.method}, {"status", status}, {"seconds", took}});
}

/// One request and its answer. True: the connection can take another.
asio::awaitable<bool> exchange(std::shared_ptr<session_state> state, std::shared_ptr<connection> peer,
                               beast::flat_buffer& buffer) {
  auto in = co_await read_request(*state, *peer, buffer);
  const auto since = std::chrono::steady_clock::now();
  reply_terms terms;
  if (in.refused) {
    count_request(*state, in.head, in.route, in.refused->status, since);
    const bool sent = co_await send(*state, *peer, terms, std::move(*in.refused));
    if (sent) co_await linger(*peer);
    co_return false;
  }
  if (!in.message || state->stopped) co_return false;
  terms.version = in.message->version();
  terms.head = in.message->method() == wire::verb::head;
  const bool wants_more = in.message->keep_alive();
  request what;
  const bool good = read_head(*in.message, what);
  what.body = std::move(in.message->body());
  auto found = state->routes.find(what.method, what.path);
  const auto route = found.pattern.empty() ? std::string("none") : found.pattern;
  what.parameters = found.parameters;
  request shown;  // for the log, as the handler takes the request itself
  shown.method = what.method;
  shown.path = what.path;
  response reply;
  if (good) {
    reply = co_await answer(state, peer->local, std::move(found), std::move(what));
  } else {
    reply = problem(400, "invalid_input", "the request target is malformed");
  }
  count_request(*state, shown, route, reply.status, since);
  if (reply.stream && !terms.head) {
    co_await send_events(state, peer, std::move(reply));
    co_return false;
  }
  terms.keep_alive = wants_more && !state->draining;
  const bool keep = terms.keep_alive;
  const bool sent = co_await send(*state, *peer, terms, std::move(reply));
  co_return sent&& keep;
}

void close(connection& peer) {
  beast::error_code ignored;
  peer.stream.socket().shutdown(asio::socket_base::shutdown_both, ignored);
  peer.stream.close();
}

}  // namespace

asio::awaitable<void> serve(std::shared_ptr<session_state> state, std::shared_ptr<connection> peer) {
  try {
    // Holds a header, or what of a body waits to be parsed: a chunk's line or trailers without end must not grow it.
    beast::flat_buffer buffer(state->options.bounds.max_header_bytes + 64U * 1024);
    bool more = true;
    while (more && !state->draining && !state->stopped) more = co_await exchange(state, peer, buffer);
  } catch (const std::exception& failed) {
    if (!state->stopped) state->log.error("http_session_failed", failed.what());
  }
  close(*peer);
  state->connections.erase(peer);
  if (state->connections.empty()) state->emptied.cancel();
}

asio::awaitable<void> reject(std::shared_ptr<session_state> state, std::shared_ptr<connection> peer) {
  auto refusal = problem(503, "unavailable", "too many connections");
  count_request(*state, {}, "none", refusal.status, std::chrono::steady_clock::now());
  peer->stream.expires_after(1s);
  reply_terms terms;
  const bool sent = co_await send(*state, *peer, terms, std::move(refusal));
  if (sent) co_await linger(*peer);
  close(*peer);
  --state->rejecting;
}

}  // namespace fleet::http::detail
