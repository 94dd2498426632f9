#include "singularity_agent/api/routes.hpp"

namespace fleet::agent::api {

void add_routes(http::router& to, const parts& with) {
  add_proposal_routes(to, with);
  add_knowledge_routes(to, with);
}

}  // namespace fleet::agent::api
