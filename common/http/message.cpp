#include "common/http/message.hpp"

#include <fmt/format.h>

#include <boost/json/array.hpp>
#include <charconv>
#include <stdexcept>

#include "common/base/json.hpp"
#include "common/base/text.hpp"

namespace fleet::http {
namespace {

std::string_view problem_type(unsigned status) {
  switch (status) {
    case 400:
      return "invalid_input";
    case 401:
      return "unauthorized";
    case 403:
      return "refused";
    case 404:
      return "not_found";
    case 405:
      return "method_not_allowed";
    case 408:
      return "request_timeout";
    case 409:
      return "conflict";
    case 413:
      return "body_too_large";
    case 431:
      return "header_too_large";
    case 503:
      return "unavailable";
    case 504:
      return "timeout";
    default:
      return "internal";
  }
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

const std::string& request::parameter(std::string_view name) const {
  const auto found = parameters.find(name);
  if (found == parameters.end()) throw std::out_of_range("the route has no such parameter");
  return found->second;
}

std::optional<std::string> request::query_value(std::string_view name) const {
  for (const auto& [key, value] : query)
    if (key == name) return value;
  return std::nullopt;
}

std::string request::header(std::string_view name_in_lower_case) const {
  const auto found = headers.find(name_in_lower_case);
  return found == headers.end() ? std::string() : found->second;
}

base::result<boost::json::object> request::json_body() const {
  return base::parse_json_object(body);
}

base::result<std::int64_t> request::query_int(std::string_view name, std::int64_t fallback, std::int64_t min,
                                              std::int64_t max) const {
  const auto text = query_value(name);
  if (!text) return fallback;
  std::int64_t number = 0;
  const auto [end, ec] = std::from_chars(text->data(), text->data() + text->size(), number);
  if (ec != std::errc{} || end != text->data() + text->size() || number < min || number > max)
    return base::invalid_fields({{std::string(name), fmt::format("expected an integer from {} to {}", min, max)}});
  return number;
}

response json_response(unsigned status, const boost::json::value& body) {
  response answer;
  answer.status = status;
  answer.body = base::write_json(body);
  return answer;
}

response text_response(unsigned status, std::string body, std::string content_type) {
  response answer;
  answer.status = status;
  answer.content_type = std::move(content_type);
  answer.body = std::move(body);
  return answer;
}

response stream_response(std::shared_ptr<event_stream> stream) {
  response answer;
  answer.content_type = "text/event-stream";
  answer.stream = std::move(stream);
  return answer;
}

unsigned status_of(base::error_kind kind) {
  switch (kind) {
    case base::error_kind::invalid_input:
      return 400;
    case base::error_kind::refused:
      return 403;
    case base::error_kind::not_found:
      return 404;
    case base::error_kind::conflict:
      return 409;
    case base::error_kind::unavailable:
    case base::error_kind::cancelled:
      return 503;
    case base::error_kind::timeout:
      return 504;
    case base::error_kind::internal:
      return 500;
  }
  return 500;
}

response problem(const base::error& what) {
  const auto status = status_of(what.kind);
  // What went wrong inside is for the log: it may name tables, paths or hosts.
  if (status == 500) return problem(status, "internal", "an unexpected error; the log of the daemon has the details");
  return problem(status, problem_type(status), base::mask_secrets(what.message), what.fields);
}

response problem(unsigned status, std::string_view type, std::string_view detail,
                 const std::vector<base::field_error>& errors) {
  boost::json::object body;
  body["type"] = fmt::format("urn:problem:{}", type.empty() ? problem_type(status) : type);
  body["title"] = reason_phrase(status);
  body["status"] = status;
  body["detail"] = base::is_valid_utf8(detail) ? detail : "the request is not valid UTF-8";
  if (!errors.empty()) {
    boost::json::array list;
    for (const auto& error : errors) {
      boost::json::object one;
      one["field"] = base::is_valid_utf8(error.field) ? error.field : "";
      one["message"] = base::is_valid_utf8(error.message) ? error.message : "not valid UTF-8";
      list.push_back(std::move(one));
    }
    body["errors"] = std::move(list);
  }
  auto answer = json_response(status, body);
  answer.content_type = "application/problem+json";
  if (status == 503) answer.headers.emplace_back("Retry-After", "1");
  return answer;
}

std::string_view reason_phrase(unsigned status) {
  switch (status) {
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 304:
      return "Not Modified";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 413:
      return "Payload Too Large";
    case 415:
      return "Unsupported Media Type";
    case 422:
      return "Unprocessable Content";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    default:
      return "Unknown";
  }
}

std::optional<std::string> percent_decode(std::string_view text, bool plus_is_space) {
  std::string decoded;
  decoded.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '%') {
      if (i + 2 >= text.size()) return std::nullopt;
      const int high = hex_digit(text[i + 1]);
      const int low = hex_digit(text[i + 2]);
      if (high < 0 || low < 0) return std::nullopt;
      c = static_cast<char>(high * 16 + low);
      i += 2;
    } else if (c == '+' && plus_is_space) {
      c = ' ';
    }
    if (c == '\0') return std::nullopt;
    decoded += c;
  }
  return decoded;
}

std::string percent_encode(std::string_view text) {
  std::string encoded;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                       c == '_' || c == '.' || c == '~';
    encoded += plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return encoded;
}

}  // namespace fleet::http
