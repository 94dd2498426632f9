// The local API: what an instance's own agents, people and scripts ask of this agent.
#pragma once
#include "common/http/router.hpp"
#include "common/postgres/pool.hpp"
#include "singularity_agent/api/step_feed.hpp"
#include "singularity_agent/execution/execution_repository.hpp"
#include "singularity_agent/intake/intake.hpp"
#include "singularity_agent/patterns/pattern_repository.hpp"
#include "singularity_agent/proposals/proposal_repository.hpp"
#include "singularity_agent/voting/vote_repository.hpp"

namespace fleet::agent::api {

struct parts {
  postgres::pool& connections;
  intake::intake& intake;
  const proposals::proposal_repository& proposals;
  const voting::vote_repository& votes;
  const execution::execution_repository& executions;
  const patterns::pattern_repository& patterns;
  step_feed& events;
};

/// Adds every /v1 route. What the parts refer to must outlive the router.
void add_routes(http::router& to, const parts& with);

/// The two halves of it: proposals with their metrics and events; votes, patterns, profiles and agents' metrics.
void add_proposal_routes(http::router& to, const parts& with);
void add_knowledge_routes(http::router& to, const parts& with);

}  // namespace fleet::agent::api
