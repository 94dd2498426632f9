// The coordinator's settings: their schema, and what they come to.
#pragma once
#include <memory>
#include <string>

#include "centralcloud_daemon/alerts/monitor.hpp"
#include "centralcloud_daemon/alerts/notifier.hpp"
#include "centralcloud_daemon/consensus/engine.hpp"
#include "centralcloud_daemon/guardian/watch.hpp"
#include "centralcloud_daemon/patterns/pattern_rules.hpp"
#include "common/base/error.hpp"
#include "common/config/core_settings.hpp"
#include "common/config/values.hpp"
#include "common/postgres/settings.hpp"
#include "common/quantumflow/maintenance.hpp"

namespace fleet::central {

struct settings {
  config::core_settings core;
  std::string http_listen;  ///< empty: no HTTP
  std::string token_file;   ///< empty: no token
  consensus::engine_settings consensus;
  guardian::watch_settings guardian;
  patterns::pattern_settings patterns;
  quantumflow::maintenance_settings maintenance;
  alerts::monitor_settings monitor;
  alerts::channel_settings channels;
};

/// Everything that may be in the file: the core's settings and the coordinator's own.
std::shared_ptr<const config::schema> settings_schema();
/// Error `invalid_input`: values that fit one by one and not together, or a rule that is none.
base::result<settings> settings_from(const config::values& all);
postgres::settings database_settings(const config::core_settings& core);
/// Of the connection that LISTENs.
postgres::settings listen_settings(const config::core_settings& core);

}  // namespace fleet::central
