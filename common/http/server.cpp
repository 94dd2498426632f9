#include "common/http/server.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <charconv>
#include <cstring>

#include "common/http/session.hpp"

namespace fleet::http {
namespace {

namespace asio = boost::asio;
using tcp = asio::ip::tcp;
using local = asio::local::stream_protocol;
using error_code = boost::system::error_code;
using namespace std::chrono_literals;

constexpr auto as_values = asio::as_tuple(asio::use_awaitable);

base::error bad_address(const std::string& text) {
  return base::invalid_fields(
      {{"listen", fmt::format("expected an address and a port as 127.0.0.1:4001 or [::1]:4001, got '{}'", text)}});
}

base::result<tcp::endpoint> parse_address(const std::string& text) {
  const auto colon = text.rfind(':');
  if (colon == std::string::npos) return bad_address(text);
  auto host = text.substr(0, colon);
  if (host == "localhost") host = "127.0.0.1";
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  error_code ec;
  const auto address = asio::ip::make_address(host, ec);
  std::uint16_t port = 0;
  const char* end = text.data() + text.size();
  const auto [read, wrong] = std::from_chars(text.data() + colon + 1, end, port);
  if (ec || wrong != std::errc{} || read != end) return bad_address(text);
  return tcp::endpoint(address, port);
}

/// Makes room for our socket: removes one on which nobody answers. Error: somebody does, or it is no socket.
base::result<void> clear_stale(const std::string& path, asio::any_io_executor executor) {
  struct stat there {};
  if (::lstat(path.c_str(), &there) != 0) return {};
  if (!S_ISSOCK(there.st_mode))
    return base::make_error(base::error_kind::conflict, fmt::format("{} exists and is no socket", path));
  local::socket probe(executor);
  error_code ec;
  probe.open(local(), ec);
  // Non-blocking: a listener whose backlog is full would hold us; it answers "again", which is an answer too.
  if (!ec) probe.non_blocking(true, ec);
  if (!ec) probe.connect(local::endpoint(path), ec);
  if (ec != asio::error::connection_refused)
    return base::make_error(base::error_kind::conflict, fmt::format("another process answers on {}", path));
  ::unlink(path.c_str());
  return {};
}

}  // namespace

struct server::state {
  explicit state(std::shared_ptr<detail::session_state> shared)
      : sessions(std::move(shared)), unix_acceptor(sessions->executor), tcp_acceptor(sessions->executor) {}

  base::result<void> listen_unix(const std::string& path);
  base::result<void> listen_tcp(const std::string& text);
  void stop_accepting();
  void close_all();
  std::shared_ptr<detail::session_state> sessions;
  local::acceptor unix_acceptor;
  tcp::acceptor tcp_acceptor;
  ino_t socket_inode = 0;
};

namespace {

void admit(const std::shared_ptr<detail::session_state>& state, detail::stream_type::socket_type socket,
           bool is_local) {
  auto peer = std::make_shared<detail::connection>(std::move(socket), is_local);
  if (state->connections.size() >= state->options.bounds.max_connections) {
    constexpr std::size_t max_rejecting = 64;
    if (state->rejecting >= max_rejecting) return;
    ++state->rejecting;
    asio::co_spawn(state->executor, detail::reject(state, std::move(peer)), asio::detached);
    return;
  }
  state->connections.insert(peer);
  asio::co_spawn(state->executor, detail::serve(state, std::move(peer)), asio::detached);
}

/// Accepts until the acceptor is closed; `owner` keeps it alive meanwhile.
template <class Acceptor>
asio::awaitable<void> accept_all([[maybe_unused]] std::shared_ptr<void> owner, Acceptor& acceptor,
                                 std::shared_ptr<detail::session_state> state, bool is_local) {
  asio::steady_timer pause(state->executor);
  while (acceptor.is_open()) {
    auto [ec, socket] = co_await acceptor.async_accept(as_values);
    if (!acceptor.is_open() || state->draining || state->stopped) break;
    if (!ec) {
      admit(state, detail::stream_type::socket_type(std::move(socket)), is_local);
      continue;
    }
    // Out of descriptors, most likely: without a pause this would be a busy loop.
    state->log.warning("http_accept_failed", ec.message());
    pause.expires_after(100ms);
    co_await pause.async_wait(as_values);
  }
}

}  // namespace

base::result<void> server::state::listen_unix(const std::string& path) {
  if (path.size() >= sizeof(sockaddr_un::sun_path))
    return base::invalid_fields({{"socket", fmt::format("the path is too long for a Unix socket: {}", path)}});
  if (auto cleared = clear_stale(path, sessions->executor); !cleared) return cleared;
  error_code ec;
  unix_acceptor.open(local(), ec);
  if (!ec) {
    // The mode from the first moment on, not a chmod later.
    const auto before = ::umask(0117);
    unix_acceptor.bind(local::endpoint(path), ec);
    ::umask(before);
  }
  if (!ec) unix_acceptor.listen(asio::socket_base::max_listen_connections, ec);
  if (ec) {
    const auto kind = ec == asio::error::address_in_use ? base::error_kind::conflict : base::error_kind::invalid_input;
    return base::make_error(kind, fmt::format("cannot listen on {}: {}", path, ec.message()));
  }
  struct stat made {};
  if (::lstat(path.c_str(), &made) == 0) socket_inode = made.st_ino;
  return {};
}

base::result<void> check_address(const std::string& listen, bool has_token) {
  const auto address = parse_address(listen);
  if (!address) return address.error();
  if (has_token || address->address().is_loopback()) return {};
  return base::invalid_fields(
      {{"listen", fmt::format("{} is not loopback: that needs a token (http.token_file)", listen)}});
}

base::result<void> server::state::listen_tcp(const std::string& text) {
  if (auto allowed = check_address(text, !sessions->options.bearer_token.empty()); !allowed) return allowed;
  const auto address = parse_address(text);
  error_code ec;
  tcp_acceptor.open(address->protocol(), ec);
  if (!ec) tcp_acceptor.set_option(tcp::acceptor::reuse_address(true), ec);
  if (!ec) tcp_acceptor.bind(*address, ec);
  if (!ec) tcp_acceptor.listen(asio::socket_base::max_listen_connections, ec);
  if (!ec) return {};
  const auto kind = ec == asio::error::address_in_use ? base::error_kind::conflict : base::error_kind::invalid_input;
  return base::make_error(kind, fmt::format("cannot listen on {}: {}", text, ec.message()));
}

void server::state::stop_accepting() {
  const auto& path = sessions->options.unix_socket;
  struct stat there {};
  // Only our own: a successor may have put its socket there already.
  const bool ours = socket_inode != 0 && ::lstat(path.c_str(), &there) == 0 && there.st_ino == socket_inode;
  if (ours) ::unlink(path.c_str());
  socket_inode = 0;
  error_code ignored;
  unix_acceptor.close(ignored);
  tcp_acceptor.close(ignored);
}

void server::state::close_all() {
  for (const auto& peer : sessions->connections) {
    if (peer->events) peer->events->close();
    peer->stream.close();
  }
}

server::server(asio::any_io_executor executor, server_options options, router routes, telemetry::logger log,
               telemetry::metrics& metrics)
    : state_(std::make_shared<state>(std::make_shared<detail::session_state>(
          executor, std::move(options), std::move(routes), std::move(log), metrics))) {}

server::~server() {
  stop();
}

base::result<void> server::start() {
  const auto& options = state_->sessions->options;
  if (!options.unix_socket.empty())
    if (auto listening = state_->listen_unix(options.unix_socket); !listening) return listening;
  if (!options.listen.empty()) {
    if (auto listening = state_->listen_tcp(options.listen); !listening) {
      state_->stop_accepting();
      return listening;
    }
  }
  const auto& sessions = state_->sessions;
  if (state_->unix_acceptor.is_open())
    asio::co_spawn(sessions->executor, accept_all(state_, state_->unix_acceptor, sessions, true), asio::detached);
  if (state_->tcp_acceptor.is_open())
    asio::co_spawn(sessions->executor, accept_all(state_, state_->tcp_acceptor, sessions, false), asio::detached);
  return {};
}

std::uint16_t server::port() const {
  error_code ec;
  const auto bound = state_->tcp_acceptor.local_endpoint(ec);
  return ec ? std::uint16_t{0} : bound.port();
}

std::size_t server::connections() const {
  return state_->sessions->connections.size();
}

asio::awaitable<void> server::drain(std::chrono::milliseconds grace) {
  const auto held = state_;
  const auto sessions = held->sessions;
  held->stop_accepting();
  sessions->draining = true;
  for (const auto& peer : sessions->connections) {
    if (peer->events) peer->events->close();
    if (peer->idle) peer->stream.cancel();
  }
  const auto deadline = std::chrono::steady_clock::now() + grace;
  while (!sessions->connections.empty() && std::chrono::steady_clock::now() < deadline) {
    sessions->emptied.expires_at(deadline);
    co_await sessions->emptied.async_wait(as_values);
  }
  held->close_all();
}

void server::stop() {
  state_->sessions->stopped = true;
  state_->stop_accepting();
  state_->close_all();
}

}  // namespace fleet::http
