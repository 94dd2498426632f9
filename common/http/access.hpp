// Who may read and change something: the bearer token, and the guard of a server without one against web pages.
#pragma once
#include <optional>
#include <string>

#include "common/base/error.hpp"
#include "common/http/message.hpp"

namespace fleet::http {

bool is_changing(std::string_view method);

/// The first line of a token file, trimmed; empty for an empty path: no token. Error `invalid_input`, naming
/// `http.token_file`: it cannot be read, or holds no token of at least 16 characters.
base::result<std::string> read_token_file(const std::string& path);

/// The refusal, or nothing where the request may go on. `local`: over the Unix socket, whose mode decides who connects,
/// so that no token is asked for. Over TCP a changing method needs the token; where none is configured (loopback
/// only) every request needs a Host that is loopback, and a changing one, from a browser, an Origin that is the same
/// host: otherwise any page that an operator visits could send one, or read all by a name of its own that it points
/// here (DNS rebinding).
std::optional<response> check_access(const request& what, const std::string& token, bool local);

}  // namespace fleet::http
