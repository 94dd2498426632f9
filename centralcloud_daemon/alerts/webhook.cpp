#include "centralcloud_daemon/alerts/webhook.hpp"

#include <fmt/format.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
// The only unit that speaks TLS holds its separately compiled part, too.
#include <boost/asio/ssl/impl/src.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl/ssl_stream.hpp>
#include <boost/url/parse.hpp>
#include <utility>

namespace fleet::central::alerts {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace wire = boost::beast::http;
using asio::awaitable;

constexpr auto as_values = asio::as_tuple(asio::use_awaitable);
constexpr std::size_t max_answer_bytes = 64U * 1024;

using post = wire::request<wire::string_body>;

base::error failed(const webhook_target& to, std::string_view doing, beast::error_code ec) {
  const auto kind = ec == beast::error::timeout ? base::error_kind::timeout : base::error_kind::unavailable;
  return base::make_error(kind, fmt::format("{}:{}: {}: {}", to.host, to.port, doing, ec.message()));
}

post message_for(const webhook_target& to, std::string body) {
  post message(wire::verb::post, to.path, 11);
  message.set(wire::field::host, to.authority);
  message.set(wire::field::user_agent, "centralcloud_daemon/" FLEET_VERSION);
  message.set(wire::field::content_type, "application/json");
  message.set(wire::field::connection, "close");
  message.body() = std::move(body);
  message.prepare_payload();
  return message;
}

template <class Stream>
awaitable<base::result<void>> exchange(Stream& stream, const webhook_target& to, post message) {
  const auto [write_ec, written] = co_await wire::async_write(stream, message, as_values);
  if (write_ec) co_return failed(to, "sending", write_ec);
  beast::flat_buffer buffer;
  wire::response_parser<wire::string_body> answer;
  answer.body_limit(max_answer_bytes);
  const auto [read_ec, count] = co_await wire::async_read_header(stream, buffer, answer, as_values);
  if (read_ec) co_return failed(to, "waiting for the answer", read_ec);
  const auto status = answer.get().result_int();
  if (status >= 200 && status < 300) co_return base::result<void>();
  co_return base::make_error(base::error_kind::unavailable,
                             fmt::format("{}:{} answered status {}", to.host, to.port, status));
}

awaitable<base::result<void>> exchange_securely(beast::tcp_stream plain, const webhook_target& to, post message) {
  asio::ssl::context trust(asio::ssl::context::tls_client);
  trust.set_default_verify_paths();
  trust.set_verify_mode(asio::ssl::verify_peer);
  beast::ssl_stream<beast::tcp_stream> stream(std::move(plain), trust);
  stream.set_verify_callback(asio::ssl::host_name_verification(to.host));
  if (SSL_set_tlsext_host_name(stream.native_handle(), to.host.c_str()) != 1)
    co_return base::make_error(base::error_kind::internal, "TLS: the host's name cannot be set");
  const auto [ec] = co_await stream.async_handshake(asio::ssl::stream_base::client, as_values);
  if (ec) co_return failed(to, "the TLS handshake", ec);
  co_return co_await exchange(stream, to, std::move(message));
}

}  // namespace

base::result<webhook_target> parse_webhook_url(std::string_view url) {
  const auto wrong = base::make_error(base::error_kind::invalid_input,
                                      "expected an http:// or https:// URL, such as https://alerts.example/hook");
  const auto parsed = boost::urls::parse_uri({url.data(), url.size()});
  if (parsed.has_error() || parsed->host().empty() || parsed->has_userinfo()) return wrong;
  // Also what is no port at all: this version of the library takes it for the beginning of a path.
  if (parsed->has_port() && parsed->port().empty()) return wrong;
  webhook_target to;
  to.secure = parsed->scheme() == "https";
  if (!to.secure && parsed->scheme() != "http") return wrong;
  to.host = parsed->host_address();
  to.port = parsed->has_port() ? std::string(parsed->port()) : to.secure ? "443" : "80";
  to.authority = std::string(parsed->encoded_host_and_port());
  to.path = parsed->encoded_target().empty() ? "/" : std::string(parsed->encoded_target());
  return to;
}

awaitable<base::result<void>> post_webhook(std::string url, std::string body, std::chrono::milliseconds timeout) {
  const auto to = parse_webhook_url(url);
  if (!to) co_return to.error();
  const auto executor = co_await asio::this_coro::executor;
  // Bounded by the system's resolver, not by the time-out.
  asio::ip::tcp::resolver resolver(executor);
  const auto [name_ec, addresses] = co_await resolver.async_resolve(to->host, to->port, as_values);
  if (name_ec) co_return failed(*to, "looking up the host", name_ec);
  beast::tcp_stream stream(executor);
  stream.expires_after(timeout);
  const auto [connect_ec, peer] = co_await stream.async_connect(addresses, as_values);
  if (connect_ec) co_return failed(*to, "connecting", connect_ec);
  auto message = message_for(*to, std::move(body));
  if (to->secure) co_return co_await exchange_securely(std::move(stream), *to, std::move(message));
  co_return co_await exchange(stream, *to, std::move(message));
}

}  // namespace fleet::central::alerts
