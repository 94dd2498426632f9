// Inside of the server: its shared state and the coroutine of one connection. Only server.cpp and session.cpp include
// it.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <memory>
#include <set>

#include "common/http/event_stream.hpp"
#include "common/http/server.hpp"

namespace fleet::http::detail {

/// Unix and TCP sockets alike, with the time-outs of Beast.
using stream_type = boost::beast::basic_stream<boost::asio::generic::stream_protocol>;

struct connection {
  explicit connection(stream_type::socket_type socket, bool is_local) : stream(std::move(socket)), local(is_local) {}

  stream_type stream;
  bool local;        ///< over the Unix socket: who may connect is decided by its mode
  bool idle = true;  ///< between two requests: a drain need not wait for it
  std::shared_ptr<event_stream> events;
};

struct session_state {
  session_state(boost::asio::any_io_executor runs_on, server_options chosen, router table, telemetry::logger to,
                telemetry::metrics& registry)
      : executor(runs_on),
        options(std::move(chosen)),
        routes(std::move(table)),
        log(std::move(to)),
        metrics(registry),
        emptied(runs_on) {}

  boost::asio::any_io_executor executor;
  server_options options;
  router routes;
  telemetry::logger log;
  telemetry::metrics& metrics;
  std::set<std::shared_ptr<connection>> connections;
  std::size_t rejecting = 0;          ///< connections over the bound that are being told so
  boost::asio::steady_timer emptied;  ///< cancelled when the last connection has gone
  bool draining = false;
  bool stopped = false;  ///< the server object may be gone: touch nothing of its owner
};

/// Serves one connection until it ends, then takes it out of `connections`. Never throws.
boost::asio::awaitable<void> serve(std::shared_ptr<session_state> state, std::shared_ptr<connection> peer);
/// Answers 503 and closes.
boost::asio::awaitable<void> reject(std::shared_ptr<session_state> state, std::shared_ptr<connection> peer);

}  // namespace fleet::http::detail
