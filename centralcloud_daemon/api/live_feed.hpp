// The event stream's source: the overview, and every step that a proposal takes.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <functional>
#include <optional>
#include <string>

#include "centralcloud_daemon/alerts/monitor.hpp"
#include "common/async/stop.hpp"
#include "common/http/event_stream.hpp"
#include "common/postgres/pool.hpp"

namespace fleet::central::api {

/// While somebody listens, reads the database about every second, once for all listeners, and gives the hub
/// `overview` (as GET /v1/overview) and `steps` ([{proposal_id, state, cause, actor, at, description}], where there are
/// new ones, by whichever coordinator), or `trouble` ({detail}) where the database is away. All must outlive it.
class live_feed {
 public:
  live_feed(postgres::pool& pool, const alerts::monitor_settings& instances, http::event_hub& hub)
      : pool_(pool), instances_(instances), hub_(hub) {}
  /// Until a soft stop; `turned` is called at each turn of its loop. Supervise it.
  boost::asio::awaitable<void> run(async::stop_token stop, std::function<void()> turned = {});

 private:
  boost::asio::awaitable<void> tell();

  postgres::pool& pool_;
  const alerts::monitor_settings& instances_;  ///< which of them are live, which are gone
  http::event_hub& hub_;
  std::optional<std::string> since_;
};

}  // namespace fleet::central::api
