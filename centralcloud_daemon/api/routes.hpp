// The coordinator's HTTP API.
#pragma once
#include "centralcloud_daemon/alerts/monitor.hpp"
#include "centralcloud_daemon/consensus/engine.hpp"
#include "centralcloud_daemon/guardian/watch.hpp"
#include "common/http/event_stream.hpp"
#include "common/http/router.hpp"
#include "common/postgres/pool.hpp"

namespace fleet::central::api {

/// What the routes work with; all must outlive the router.
struct parts {
  postgres::pool& pool;
  guardian::watch& changes;
  const consensus::engine_settings& consensus;
  const guardian::watch_settings& guardian;
  const alerts::monitor_settings& monitor;
  http::event_hub& events;  ///< fed by `live_feed`
};

/// GET /v1/overview, /v1/activity, /v1/events, /v1/queues, /v1/queues/{queue}/messages, /v1/dlq, /v1/proposals,
/// /v1/proposals/{id} (`code=false`: without the proposal's code_change; `samples_after=ID`: only samples behind that
/// one), /v1/instances, /v1/patterns, /v1/safety-profiles, /v1/alerts (`recent=true`: cleared ones, too); POST
/// /v1/dlq/{id}/retry, DELETE /v1/dlq, POST /v1/proposals/{id}/rollback. A list answers one object with the list under
/// its own name.
void add_routes(http::router& to, parts with);

}  // namespace fleet::central::api
