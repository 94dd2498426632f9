#include "singularity_agent/cli/session.hpp"

#include <fmt/format.h>

#include <ostream>

#include "common/base/json.hpp"
#include "common/base/text.hpp"
#include "common/daemon/service.hpp"
#include "common/http/access.hpp"
#include "singularity_agent/settings.hpp"

namespace fleet::agent::cli {
namespace {

/// What a client reads of the configuration; the rest belongs to `run` and need not be complete.
std::shared_ptr<const config::schema> client_schema() {
  auto made = std::make_shared<config::schema>();
  for (auto what : agent_schema()->settings()) {
    what.required = false;
    made->add(std::move(what));
  }
  return made;
}

}  // namespace

base::result<agent_address> address_from(const daemon::invocation& call) {
  const auto all = daemon::load_values(client_schema(), call);
  if (!all) return all.error();
  agent_address at;
  const auto& socket = all->get_string("api.socket");
  const auto& listen = all->get_string("api.listen");
  const auto to = http::endpoint::parse(socket.empty() ? listen : "unix:" + socket);
  if (!to) return to.error();
  at.to = *to;
  auto token = http::read_token_file(all->get_string("http.token_file"));
  if (!token) return token.error();
  at.token = std::move(*token);
  return at;
}

base::result<boost::json::object> call_agent(const agent_address& at, const api_call& what) {
  http::client_request request;
  request.to = at.to;
  request.method = what.method;
  request.target = what.target;
  request.token = at.token;
  if (what.body) request.body = base::write_json(*what.body);
  const auto answer = http::call_blocking(std::move(request));
  if (!answer) return base::make_error(answer.error().kind, "the agent does not answer: " + answer.error().message);
  if (answer->status >= 400) return http::error_of(*answer);
  return base::parse_json_object(answer->body, {64U * 1024 * 1024, 64});
}

int refuse(const daemon::invocation& call, std::string_view message) {
  *call.err << "singularity_agent: " << message << '\n';
  return daemon::exit_refused;
}

int usage(const daemon::invocation& call, std::string_view message) {
  refuse(call, message);
  return daemon::exit_usage;
}

int print_list(const daemon::invocation& call, const std::string& target, std::string_view name,
               const std::vector<daemon::column>& columns) {
  return with_agent(call, [&](const agent_address& at) {
    api_call what;
    what.target = target;
    const auto answer = call_agent(at, what);
    if (!answer) return refuse(call, answer.error().message);
    daemon::print_rows(*call.out, call.json, columns, answer->at(name).as_array());
    return daemon::exit_done;
  });
}

int print_done(const daemon::invocation& call, const api_call& what, const std::string& done) {
  return with_agent(call, [&](const agent_address& at) {
    const auto answer = call_agent(at, what);
    if (!answer) return refuse(call, answer.error().message);
    *call.out << (call.json ? base::write_json(*answer) : done) << '\n';
    return daemon::exit_done;
  });
}

}  // namespace fleet::agent::cli
