#include "centralcloud_daemon/dashboard/pages.hpp"

#include <algorithm>
#include <string>

#include "common/base/error.hpp"

namespace fleet::central::dashboard {
namespace {

using boost::asio::awaitable;

/// Proposals are written by strangers. Were their text ever taken for markup, the page could still load and run nothing
/// but its own files, and talk to nobody but its own server.
constexpr std::string_view content_security_policy =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'";

std::string_view content_type_of(std::string_view name) {
  if (name.ends_with(".html")) return "text/html; charset=utf-8";
  if (name.ends_with(".css")) return "text/css; charset=utf-8";
  if (name.ends_with(".js")) return "text/javascript; charset=utf-8";
  if (name.ends_with(".svg")) return "image/svg+xml";
  return "application/octet-stream";
}

http::response serve(const page_file& file, const http::request& from) {
  const bool known = from.header("if-none-match").find(file.etag) != std::string::npos;
  http::response reply;
  reply.status = known ? 304 : 200;
  reply.content_type = content_type_of(file.name);
  if (!known) reply.body = file.text;
  reply.headers = {
      {"ETag", std::string(file.etag)},
      // Asked for again each time, and answered with 304: an upgraded coordinator never meets an old script.
      {"Cache-Control", "no-cache"},
      {"Content-Security-Policy", std::string(content_security_policy)},
      {"X-Frame-Options", "DENY"},
      {"Referrer-Policy", "no-referrer"},
      {"Cross-Origin-Opener-Policy", "same-origin"},
      {"Cross-Origin-Resource-Policy", "same-origin"},
      {"Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=()"},
  };
  return reply;
}

const page_file* find(std::string_view name) {
  const auto all = page_files();
  const auto found = std::find_if(all.begin(), all.end(), [&](const page_file& file) { return file.name == name; });
  return found == all.end() ? nullptr : &*found;
}

}  // namespace

void add_pages(http::router& to) {
  to.add("GET", "/",
         [](http::request from) -> awaitable<http::response> { co_return serve(*find("index.html"), from); });
  to.add("GET", "/assets/{name}", [](http::request from) -> awaitable<http::response> {
    const auto* file = find(from.parameter("name"));
    if (file == nullptr) throw base::failure(base::make_error(base::error_kind::not_found, "there is no such file"));
    co_return serve(*file, from);
  });
}

}  // namespace fleet::central::dashboard
