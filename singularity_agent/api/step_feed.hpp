// The event stream's source: every step that a proposal takes, once, in the order of the commits.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <functional>
#include <optional>
#include <string>

#include "common/async/stop.hpp"
#include "common/http/event_stream.hpp"
#include "common/postgres/pool.hpp"
#include "singularity_agent/proposals/proposal_repository.hpp"
#include "singularity_agent/wake_ups.hpp"

namespace fleet::agent::api {

/// Reads new steps from the database after each wake-up and gives them to the hub as `step` events: {proposal_id, from,
/// to, cause, at}. Costs nothing while nobody listens. Everything passed by reference must outlive it.
class step_feed {
 public:
  step_feed(postgres::pool& connections, const proposals::proposal_repository& repository, http::event_hub& hub,
            wake_ups& wake);
  /// Until a soft stop; `turned` is called at each turn of its loop. Supervise it.
  boost::asio::awaitable<void> run(async::stop_token stop, std::function<void()> turned = {});

 private:
  postgres::pool& connections_;
  const proposals::proposal_repository& repository_;
  http::event_hub& hub_;
  wake_ups& wake_;
  std::optional<std::string> since_;  ///< survives a run that the database's absence ended: no step is left out then
};

}  // namespace fleet::agent::api
