#include "common/postgres/login.hpp"

#include <fmt/format.h>

#include <cctype>
#include <memory>
#include <set>
#include <stdexcept>
#include <string_view>

#include "common/postgres/conninfo.hpp"
#include "common/postgres/libpq.hpp"

namespace fleet::postgres {
namespace {

std::string encoded(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x80 && std::isalnum(byte) != 0) || c == '-' || c == '_' || c == '.' || c == '~') {
      out += c;
    } else {
      out += fmt::format("%{:02X}", byte);
    }
  }
  return out;
}

/// One host by name or IPv4 address can stand before the path; sockets, lists and IPv6 addresses go into the query.
bool plain(std::string_view host) {
  return !host.empty() && host.find_first_of("/,:") == std::string_view::npos;
}

}  // namespace

std::string login_url(const std::string& url, const login& as) {
  static const std::set<std::string_view> replaced = {"user", "password", "passfile", "dbname"};
  std::string host;
  std::string port;
  std::string query;
  const auto add = [&query](std::string_view keyword, std::string_view value) {
    query += fmt::format("{}{}={}", query.empty() ? "?" : "&", keyword, encoded(value));
  };
  for (const auto& [keyword, value] : conninfo::as_written(url)) {
    if (keyword == "host") {
      host = value;
    } else if (keyword == "port") {
      port = value;
    } else if (replaced.count(keyword) == 0) {
      add(keyword, value);
    }
  }
  std::string authority;
  if (plain(host) && port.find(',') == std::string::npos) {
    authority = host + (port.empty() ? "" : ":") + port;
  } else {
    if (!host.empty()) add("host", host);
    if (!port.empty()) add("port", port);
  }
  return fmt::format("postgresql://{}:{}@{}/{}{}", encoded(as.user), encoded(as.password), authority,
                     encoded(as.database), query);
}

std::string scram_verifier(const std::string& password) {
  // libpq wants a connection for its error message alone. One with a setting that it refuses never opens a socket.
  const std::unique_ptr<PGconn, decltype(&PQfinish)> none(PQconnectStart("sslmode=none"), &PQfinish);
  const std::unique_ptr<char, decltype(&PQfreemem)> verifier(
      PQencryptPasswordConn(none.get(), password.c_str(), "", "scram-sha-256"), &PQfreemem);
  if (!verifier) throw std::runtime_error(std::string("hashing a password: ") + PQerrorMessage(none.get()));
  return verifier.get();
}

}  // namespace fleet::postgres
