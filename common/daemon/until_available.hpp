// Work of a daemon's start that needs something which may be away.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <functional>

#include "common/async/stop.hpp"
#include "common/telemetry/log.hpp"

namespace fleet::daemon {

/// Runs `work`, again with backoff each time it fails with `unavailable` or `timeout`; it must be right to run it
/// twice. False: a soft stop came before it was done. Throws any other failure.
boost::asio::awaitable<bool> until_available(async::stop_token stop, telemetry::logger log,
                                             std::function<boost::asio::awaitable<void>()> work);

}  // namespace fleet::daemon
