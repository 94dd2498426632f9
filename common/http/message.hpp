// Requests and responses as plain values: handlers know nothing of sockets.
#pragma once
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/error.hpp"

namespace fleet::http {

class event_stream;

struct request {
  std::string method;                                          ///< "GET"
  std::string target;                                          ///< as sent: path and query, still encoded
  std::string path;                                            ///< as sent, without the query
  std::map<std::string, std::string, std::less<>> parameters;  ///< of the route, percent-decoded
  std::vector<std::pair<std::string, std::string>> query;      ///< percent-decoded, in order
  std::map<std::string, std::string, std::less<>> headers;     ///< names in lower case
  std::string body;

  /// The route's parameter; it is there, or the route has no such name (`std::out_of_range`).
  const std::string& parameter(std::string_view name) const;
  /// The first value of a query parameter.
  std::optional<std::string> query_value(std::string_view name) const;
  std::string header(std::string_view name_in_lower_case) const;
  /// The body as one JSON object. Error: `invalid_input`.
  base::result<boost::json::object> json_body() const;
  /// An integer query parameter. Error: `invalid_input` naming it, where it is none or out of the bounds.
  base::result<std::int64_t> query_int(std::string_view name, std::int64_t fallback, std::int64_t min,
                                       std::int64_t max) const;
};

struct response {
  unsigned status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;  ///< more of them
  std::shared_ptr<event_stream> stream;  ///< set: the answer is a server-sent event stream; `body` is not used
};

response json_response(unsigned status, const boost::json::value& body);
response text_response(unsigned status, std::string body, std::string content_type = "text/plain; charset=utf-8");
/// 200 text/event-stream.
response stream_response(std::shared_ptr<event_stream> stream);

/// The status an error kind stands for: invalid_input 400, refused 403, not_found 404, conflict 409, unavailable and
/// cancelled 503, timeout 504, internal 500.
unsigned status_of(base::error_kind kind);
/// RFC 9457 problem+json. The text of an `internal` error is not shown. 503 carries Retry-After.
response problem(const base::error& what);
response problem(unsigned status, std::string_view type, std::string_view detail,
                 const std::vector<base::field_error>& errors = {});
std::string_view reason_phrase(unsigned status);

/// "%2F" → "/"; in a query also "+" → " ". Empty optional: a broken escape, or a NUL byte.
std::optional<std::string> percent_decode(std::string_view text, bool plus_is_space = false);
std::string percent_encode(std::string_view text);

}  // namespace fleet::http
