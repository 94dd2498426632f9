// The coordinator put together.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <memory>

#include "common/daemon/service.hpp"

namespace fleet::central {

/// For the loop's thread.
class application {
 public:
  explicit application(daemon::service_start start);
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
