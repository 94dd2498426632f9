// The same server, as somebody else.
#pragma once
#include <string>

namespace fleet::postgres {

struct login {
  std::string user;
  std::string password;
  std::string database;
};

/// The connection string with another user, password and database; everything else (hosts, TLS) stays. Throws
/// `sql_error` (`invalid_input`) where libpq cannot read it.
std::string login_url(const std::string& url, const login& as);

/// The SCRAM verifier of a password, which the server takes in its place: no statement and no log then holds the
/// password. Blocks for a few milliseconds. Throws std::runtime_error.
std::string scram_verifier(const std::string& password);

}  // namespace fleet::postgres
