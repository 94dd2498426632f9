// The three routes that every daemon has.
#pragma once
#include "common/http/router.hpp"
#include "common/telemetry/health.hpp"
#include "common/telemetry/metrics.hpp"

namespace fleet::http {

/// `/healthz` (200 as long as the loop turns), `/readyz` (200, or 503 with what is missing), `/metrics` (Prometheus
/// text). Both references must outlive the router. `refresh` is called before each exposition, to set gauges.
void add_health_routes(router& to, const telemetry::health_state& health, const telemetry::metrics& metrics,
                       std::function<void()> refresh = {});

}  // namespace fleet::http
