// Small parts of answers that the routes share.
#pragma once
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <string>
#include <string_view>
#include <utility>

#include "common/base/error.hpp"
#include "common/http/message.hpp"

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

/// {"name": [...]}.
inline http::response named_list(std::string_view name, boost::json::array list) {
  boost::json::object body;
  body[name] = std::move(list);
  return http::json_response(200, std::move(body));
}

}  // namespace fleet::agent::api
