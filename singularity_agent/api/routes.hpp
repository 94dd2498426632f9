// The local API: what an instance's own agents, people and scripts ask of this agent.
#pragma once
#include "common/http/event_stream.hpp"
#include "common/http/router.hpp"
#include "common/postgres/pool.hpp"
#include "singularity_agent/execution/execution_repository.hpp"
#include "singularity_agent/metrics/sample_repository.hpp"
#include "singularity_agent/patterns/pattern_repository.hpp"
#include "singularity_agent/producers.hpp"
#include "singularity_agent/proposals/proposal_queue.hpp"
#include "singularity_agent/voting/voter.hpp"
#include "singularity_agent/wake_ups.hpp"

namespace fleet::agent::api {

struct parts {
  postgres::pool& connections;
  proposals::proposal_queue& queue;
  voting::voter& votes;
  producers& send;
  const execution::execution_repository& executions;
  const metrics::sample_repository& samples;
  const patterns::pattern_repository& patterns;
  http::event_hub& events;
  wake_ups& wake;
  proposals::change_form form;
};

/// Adds every /v1 route. What the parts refer to must outlive the router.
void add_routes(http::router& to, const parts& with);

/// The two halves of it: proposals with their metrics and events; votes, patterns, profiles and agents' metrics.
void add_proposal_routes(http::router& to, const parts& with);
void add_knowledge_routes(http::router& to, const parts& with);

}  // namespace fleet::agent::api
