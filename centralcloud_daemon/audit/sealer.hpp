// The worker that seals the audit log.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <functional>

#include "common/async/stop.hpp"
#include "common/postgres/pool.hpp"
#include "common/telemetry/log.hpp"

namespace fleet::central::audit {

/// For the loop's thread. Seals what was added, once a minute, and logs the seal's hash: outside of the database, where
/// nobody who rewrites the log can reach it. Any number of coordinators may run one; each minute has one seal.
class sealer {
 public:
  /// Both must outlive the sealer.
  sealer(postgres::pool& pool, const telemetry::logger& log) : pool_(pool), log_(log) {}

  /// Until a soft stop; `turned` is called at each turn of its loop. Throws `base::failure` when the database fails:
  /// the supervisor starts it again.
  boost::asio::awaitable<void> run(async::stop_token stop, std::function<void()> turned = {});

 private:
  postgres::pool& pool_;
  const telemetry::logger& log_;
};

}  // namespace fleet::central::audit
