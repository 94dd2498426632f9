// The coordinator put together.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <functional>
#include <memory>

#include "centralcloud_daemon/settings.hpp"
#include "common/base/error.hpp"
#include "common/config/values.hpp"
#include "common/daemon/run_loop.hpp"
#include "common/telemetry/log.hpp"

namespace fleet::central {

/// How the application reads its configuration again on SIGHUP.
using reload_source = std::function<base::result<config::values>()>;

/// For the loop's thread.
class application {
 public:
  application(daemon::loop& loop, config::values configured, settings effective, telemetry::logger log,
              reload_source reload);
  ~application();
  application(const application&) = delete;
  application& operator=(const application&) = delete;

  /// Serves until a soft stop, then drains. A configuration that cannot be carried out and a schema that does not fit
  /// end the process with exit code 2; a port that is taken with 1. While the database is away it waits, and says so.
  boost::asio::awaitable<void> run();

 private:
  struct parts;
  std::unique_ptr<parts> parts_;
};

}  // namespace fleet::central
