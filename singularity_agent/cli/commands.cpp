#include "singularity_agent/cli/commands.hpp"

#include <utility>

#include "common/daemon/service.hpp"
#include "common/http/access.hpp"
#include "singularity_agent/application.hpp"
#include "singularity_agent/settings.hpp"
#include "singularity_agent/tools.hpp"

namespace fleet::agent::cli {
namespace {

/// Everything that can be checked without a database.
base::result<void> check(const config::values& values) {
  const auto settings = settings_from(values);
  if (!settings) return settings.error();
  if (const auto sampler = make_sampler(*settings); !sampler) return sampler.error();
  const auto token = http::read_token_file(settings->api.token_file);
  if (!token) return token.error();
  return {};
}

boost::asio::awaitable<void> serve(daemon::service_start start) {
  // Its connections and timers belong to the loop: it must be gone before that.
  application all(std::move(start));
  co_await all.run();
}

}  // namespace

daemon::command_table make_commands() {
  daemon::command_table table("singularity_agent",
                              "The agent of one instance: proposes changes, votes, carries out what is approved.",
                              FLEET_VERSION);
  daemon::service service;
  service.program = "singularity_agent";
  service.role = "the agent";
  service.schema = agent_schema();
  service.check = check;
  service.main = serve;
  daemon::add_service_commands(table, service);
  add_doctor(table, service);
  add_proposal_commands(table);
  add_fleet_commands(table);
  return table;
}

}  // namespace fleet::agent::cli
