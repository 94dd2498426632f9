#include "common/http/access.hpp"

#include <boost/asio/ip/address_v4.hpp>
#include <fstream>

#include "common/base/text.hpp"
#include "common/http/server.hpp"

namespace fleet::http {
namespace {

constexpr std::size_t min_token_length = 16;

bool is_loopback_host(std::string_view host) {
  // The port goes; an IPv6 address keeps its brackets.
  const auto bracket = host.rfind(']');
  const auto colon = host.rfind(':');
  if (colon != std::string_view::npos && (bracket == std::string_view::npos || colon > bracket))
    host = host.substr(0, colon);
  if (host == "localhost" || host == "[::1]") return true;
  // An address and no name: "127.evil.example" may point anywhere.
  boost::system::error_code ec;
  const auto address = boost::asio::ip::make_address_v4(host, ec);
  return !ec && address.is_loopback();
}

response unauthorized(const std::string& why) {
  auto refusal = problem(401, "unauthorized", why);
  refusal.headers.emplace_back("WWW-Authenticate", "Bearer");
  return refusal;
}

}  // namespace

base::result<std::string> read_token_file(const std::string& path) {
  if (path.empty()) return std::string();
  std::ifstream file(path);
  std::string line;
  if (!std::getline(file, line))
    return base::make_error(base::error_kind::invalid_input, "http.token_file: cannot read a line of " + path);
  const auto token = base::trim(line);
  if (token.size() < min_token_length) {
    return base::make_error(base::error_kind::invalid_input,
                            "http.token_file: expected a token of at least 16 characters in " + path);
  }
  return std::string(token);
}

bool is_changing(std::string_view method) {
  return method != "GET" && method != "HEAD";
}

bool constant_time_equal(std::string_view a, std::string_view b) {
  unsigned difference = a.size() == b.size() ? 0U : 1U;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const char other = b.empty() ? '\0' : b[i % b.size()];
    difference |= static_cast<unsigned>(static_cast<unsigned char>(a[i]) ^ static_cast<unsigned char>(other));
  }
  return difference == 0;
}

std::optional<response> check_access(const request& what, const std::string& token, bool local) {
  if (local) return std::nullopt;
  const auto changing = is_changing(what.method);
  if (!token.empty()) {
    if (!changing) return std::nullopt;
    constexpr std::string_view scheme = "Bearer ";
    const auto given = what.header("authorization");
    const bool good =
        given.starts_with(scheme) && constant_time_equal(std::string_view(given).substr(scheme.size()), token);
    if (good) return std::nullopt;
    return unauthorized(given.empty() ? "this needs the token of http.token_file (Authorization: Bearer TOKEN)"
                                      : "this is not the token of http.token_file");
  }
  const auto host = what.header("host");
  const auto origin = what.header("origin");
  const auto own_host = is_loopback_host(host) || (host.empty() && !changing);  // every browser sends one
  const auto own_page = !changing || origin.empty() || origin == "http://" + host;
  if (own_host && own_page) return std::nullopt;
  return problem(403, "refused",
                 "without a configured token, only this machine's own pages and tools are answered: those that ask for "
                 "127.0.0.1, [::1] or localhost");
}

}  // namespace fleet::http
