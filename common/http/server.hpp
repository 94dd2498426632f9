// The HTTP/1.1 server of both daemons: a Unix socket or a TCP port, with limits on everything.
#pragma once
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "common/base/error.hpp"
#include "common/http/router.hpp"
#include "common/telemetry/log.hpp"
#include "common/telemetry/metrics.hpp"

namespace fleet::http {

struct limits {
  std::size_t max_body_bytes = 8U * 1024 * 1024;   ///< more: 413
  std::size_t max_header_bytes = 16U * 1024;       ///< more: 431
  std::size_t max_connections = 256;               ///< more: 503 and closed
  std::chrono::milliseconds read_timeout{15'000};  ///< for a whole request, from its first byte; later: closed
  std::chrono::milliseconds write_timeout{15'000};
  std::chrono::milliseconds idle_timeout{60'000};     ///< between two requests of a connection
  std::chrono::milliseconds handler_timeout{30'000};  ///< an answer later than this: 504
  std::chrono::milliseconds heartbeat{15'000};        ///< comment line on a silent event stream
};

struct server_options {
  std::string unix_socket;   ///< path; made with mode 0660; empty: none
  std::string listen;        ///< "127.0.0.1:4001", "[::1]:0"; empty: none
  std::string bearer_token;  ///< needed for changing methods; empty: not asked for
  /// `server`'s own metrics: `<prefix>_http_requests_total{route,status}`, `<prefix>_http_request_seconds`.
  std::string metrics_prefix = "http";
  limits bounds;
};

/// Whether a server may listen there. Errors `invalid_input`: it is no address, or not loopback, and there is no token.
base::result<void> check_address(const std::string& listen, bool has_token);

/// One listener of each kind, many connections, one coroutine each, all on the executor's one thread. The registry must
/// live as long as the server. Destroying the server closes everything at once.
class server {
 public:
  server(boost::asio::any_io_executor executor, server_options options, router routes, telemetry::logger log,
         telemetry::metrics& metrics);
  ~server();
  server(const server&) = delete;
  server& operator=(const server&) = delete;

  /// Binds and accepts. Errors: `conflict` when somebody answers on the Unix socket or has the port; `invalid_input`
  /// for an address that is none, or one that is not loopback without a token. A Unix socket on which nobody answers is
  /// replaced.
  base::result<void> start();
  /// The TCP port that was bound (for "…:0"), 0 where there is none.
  std::uint16_t port() const;
  std::size_t connections() const;

  /// Stops accepting, removes the socket, closes idle connections and event streams, and waits until the requests under
  /// way are answered; after `grace` it closes what is left.
  boost::asio::awaitable<void> drain(std::chrono::milliseconds grace);
  /// Closes everything now.
  void stop();

 private:
  struct state;
  std::shared_ptr<state> state_;
};

/// Equal, in a time that depends on the lengths only.
bool constant_time_equal(std::string_view a, std::string_view b);

}  // namespace fleet::http
