// A small HTTP/1.1 client for the command line tools and tests: one connection a call.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "common/base/error.hpp"

namespace fleet::http {

struct endpoint {
  std::string unix_socket;  ///< path; empty: TCP
  std::string host;
  std::string port;
  /// "unix:/run/x.sock", "/run/x.sock", "127.0.0.1:4001", "[::1]:4001", "http://host:port". Error: `invalid_input`.
  static base::result<endpoint> parse(std::string_view text);
};

struct client_request {
  endpoint to;
  std::string method = "GET";
  std::string target = "/";
  std::string body = {};
  std::string token = {};                     ///< bearer token; empty: none
  std::chrono::milliseconds timeout{10'000};  ///< for everything, from connecting to the last byte
};

struct client_response {
  unsigned status = 0;
  std::string body;
  std::map<std::string, std::string, std::less<>> headers;  ///< names in lower case
};

/// Any status is a value. Errors: `unavailable` (nobody answers there, or hung up), `timeout`. The answer's body is
/// bounded by 64 MiB.
boost::asio::awaitable<base::result<client_response>> call(client_request what);
/// The same for a program without a loop: runs one of its own until the answer is there.
base::result<client_response> call_blocking(client_request what);
/// The error that a problem+json answer carries (`detail`, `errors`), for a status of 400 and above.
base::error error_of(const client_response& answer);

struct server_event {
  std::string name;
  std::string data;
};

/// Reads a server-sent event stream. For one coroutine at a time.
class event_reader {
 public:
  /// Errors as `call`; an answer that is no event stream gives its problem.
  static boost::asio::awaitable<base::result<event_reader>> open(client_request what);
  event_reader(event_reader&&) noexcept;
  event_reader& operator=(event_reader&&) noexcept;
  ~event_reader();

  /// The next event; comments are skipped. Empty: the server ended the stream. Errors: `timeout` (the reader cannot be
  /// used afterwards), `unavailable`.
  boost::asio::awaitable<base::result<std::optional<server_event>>> next(std::chrono::milliseconds timeout);

 private:
  struct state;
  explicit event_reader(std::unique_ptr<state> from);
  std::unique_ptr<state> state_;
};

}  // namespace fleet::http
