// What every subcommand that talks to the running agent does around its call.
#pragma once
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/error.hpp"
#include "common/daemon/output.hpp"
#include "common/daemon/subcommands.hpp"
#include "common/http/client.hpp"
#include "common/http/message.hpp"

namespace fleet::agent::cli {

/// Where the agent listens, and the token for it. Only `api.socket`, `api.listen` and `http.token_file` need to be
/// right: a client has no use for a database.
struct agent_address {
  http::endpoint to;
  std::string token;
};
base::result<agent_address> address_from(const daemon::invocation& call);

/// One call of the running agent's API. Error: nobody answers, or the agent refused; its message names the fields.
struct api_call {
  std::string method = "GET";
  std::string target;
  std::optional<boost::json::object> body = {};
};
base::result<boost::json::object> call_agent(const agent_address& at, const api_call& what);

/// Says it on the error stream; returns the exit code: 2 for a usage or configuration error, otherwise 1.
int refuse(const daemon::invocation& call, std::string_view message);
int usage(const daemon::invocation& call, std::string_view message);

/// Runs `f(agent_address)`, which returns the exit code; a wrong address gives 2.
template <class F>
int with_agent(const daemon::invocation& call, F f) {
  const auto at = address_from(call);
  return at ? f(*at) : usage(call, at.error().message);
}

/// Calls, and prints the array under `name` as JSON or as a table.
int print_list(const daemon::invocation& call, const std::string& target, std::string_view name,
               const std::vector<daemon::column>& columns);
/// Calls, and prints the answer as JSON, or `done` for people.
int print_done(const daemon::invocation& call, const api_call& what, const std::string& done);

}  // namespace fleet::agent::cli
