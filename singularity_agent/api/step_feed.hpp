// The event stream's source: every step that a proposal takes, once, in the order of the commits.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <functional>
#include <memory>
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
  /// A stream that gets every step that is committed after this has ended; null where too many follow already. Throws
  /// where the database is away.
  boost::asio::awaitable<std::shared_ptr<http::event_stream>> subscribe();
  /// Until a soft stop; `turned` is called at each turn of its loop. Supervise it.
  boost::asio::awaitable<void> run(async::stop_token stop, std::function<void()> turned = {});

 private:
  postgres::pool& connections_;
  const proposals::proposal_repository& repository_;
  http::event_hub& hub_;
  wake_ups& wake_;
  std::optional<std::string> since_;  ///< what has been published; nothing while nobody listens
};

}  // namespace fleet::agent::api
