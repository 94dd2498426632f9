// What the service manager (systemd) is told, and the watchdog that it expects to be fed.
#pragma once
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <functional>
#include <optional>
#include <string>

namespace fleet::daemon {

/// Each does nothing where no service manager listens (NOTIFY_SOCKET not set).
void notify_ready(const std::string& status = {});
void notify_reloading();  ///< with MONOTONIC_USEC, as Type=notify-reload wants; `notify_ready` ends it
void notify_stopping();
void notify_status(const std::string& status);

/// Half of WATCHDOG_USEC, where the service manager asked for a watchdog of this process.
std::optional<std::chrono::microseconds> watchdog_interval();
/// Feeds the watchdog from the loop it runs on, so that a loop that hangs starves it, and only while `moves` says true.
/// Ends by cancellation.
boost::asio::awaitable<void> feed_watchdog(std::chrono::microseconds interval, std::function<bool()> moves);

}  // namespace fleet::daemon
