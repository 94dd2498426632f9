#include "common/daemon/service_manager.hpp"

#include <fmt/format.h>
#include <systemd/sd-daemon.h>

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <ctime>

namespace fleet::daemon {
namespace {

/// One line: a newline in a status would start another assignment.
std::string one_line(std::string text) {
  for (char& c : text)
    if (c == '\n' || c == '\r') c = ' ';
  return text;
}

void notify(const std::string& state) {
  ::sd_notify(0, state.c_str());
}

}  // namespace

void notify_ready(const std::string& status) {
  notify(status.empty() ? std::string("READY=1") : fmt::format("READY=1\nSTATUS={}", one_line(status)));
}

void notify_reloading() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  const auto usec = static_cast<std::int64_t>(now.tv_sec) * 1'000'000 + now.tv_nsec / 1000;
  notify(fmt::format("RELOADING=1\nMONOTONIC_USEC={}", usec));
}

void notify_stopping() {
  notify("STOPPING=1");
}

void notify_status(const std::string& status) {
  notify("STATUS=" + one_line(status));
}

std::optional<std::chrono::microseconds> watchdog_interval() {
  std::uint64_t usec = 0;
  if (::sd_watchdog_enabled(0, &usec) <= 0 || usec < 2) return std::nullopt;
  return std::chrono::microseconds(usec / 2);
}

boost::asio::awaitable<void> feed_watchdog(std::chrono::microseconds interval, std::function<bool()> moves) {
  boost::asio::steady_timer timer(co_await boost::asio::this_coro::executor);
  while (true) {
    if (moves()) notify("WATCHDOG=1");
    timer.expires_after(interval);
    co_await timer.async_wait(boost::asio::use_awaitable);
  }
}

}  // namespace fleet::daemon
