// Small parts of answers that the routes share.
#pragma once
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <string>
#include <string_view>
#include <utility>

#include "common/base/error.hpp"
#include "common/base/trace.hpp"
#include "common/http/message.hpp"
#include "common/messages/trace.hpp"

namespace fleet::agent::api {

[[noreturn]] inline void fail(base::error_kind kind, std::string message) {
  throw base::failure(base::make_error(kind, std::move(message)));
}

/// The request's body, or a failure that becomes a 400.
inline boost::json::object body_of(const http::request& from) {
  auto body = from.json_body();
  if (!body) throw base::failure(body.error());
  return std::move(*body);
}

/// The step of the request's trace that its work here is: the header's, which is the caller's own, or that of the body,
/// which may carry one from further back; a trace of its own where neither has one.
inline std::string traceparent_of(const http::request& from, const boost::json::object& body) {
  auto trace = base::trace_context::parse(from.header("traceparent"));
  if (!trace) trace = messages::read_trace(body);
  return (trace ? trace->child() : base::trace_context::begin()).str();
}

/// The request's body with its trace in it.
inline boost::json::object traced_body_of(const http::request& from) {
  auto body = body_of(from);
  body[messages::trace_field] = traceparent_of(from, body);
  return body;
}

/// {"name": [...]}.
inline http::response named_list(std::string_view name, boost::json::array list) {
  boost::json::object body;
  body[name] = std::move(list);
  return http::json_response(200, std::move(body));
}

}  // namespace fleet::agent::api
