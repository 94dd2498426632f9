#include "singularity_agent/instance_repository.hpp"

namespace fleet::agent {

boost::asio::awaitable<void> send_heartbeat(postgres::connection& on, base::instance_id self,
                                            std::vector<std::string> roles) {
  auto arguments = postgres::make_params(self, FLEET_VERSION, roles);
  co_await on.query("select centralcloud.heartbeat($1, $2, $3)", std::move(arguments));
}

}  // namespace fleet::agent
