// Settings that both daemons share: database, log, stop, queues.
#pragma once
#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

#include "common/config/values.hpp"

namespace fleet::config {

/// The ten queues, in the order of the message reference.
const std::vector<std::string>& queue_names();

/// Adds database.*, log.*, stop.* and queue.<name>.*.
void add_core_settings(schema& to);

struct core_settings {
  std::string database_url;
  std::string listen_url;  ///< of the connection that LISTENs
  bool poll_only = false;  ///< no such connection at all
  std::size_t pool_size = 0;
  std::chrono::milliseconds connect_timeout{};
  std::chrono::milliseconds statement_timeout{};
  std::string log_level;  ///< debug|info|warning|error
  bool log_json = false;
  std::chrono::milliseconds stop_grace{};
};
core_settings core_from(const values& all);

struct queue_settings {
  std::size_t workers = 0;
  int max_retries = 0;
  std::chrono::milliseconds retry_delay{};
};
/// `queue` is one of queue_names().
queue_settings queue_from(const values& all, const std::string& queue);

}  // namespace fleet::config
