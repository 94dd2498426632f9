// The Grafana dashboard, made from the catalogue: a panel that names a metric that is not there does not compile.
#pragma once
#include <string>

namespace fleet::telemetry::tests {

/// The text of config/grafana-dashboard.json.
std::string grafana_dashboard();

}  // namespace fleet::telemetry::tests
