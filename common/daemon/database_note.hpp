// Whether the database answers, for readiness and for the service manager's status line.
#pragma once
#include <string>

#include "common/daemon/run_loop.hpp"
#include "common/telemetry/health.hpp"

namespace fleet::daemon {

class database_note {
 public:
  /// Both must outlive it. `working`: what the daemon does while the database is there.
  database_note(loop& on, telemetry::health_state& health, std::string working)
      : loop_(on), health_(health), working_(std::move(working)) {}

  /// `away`: why it does not answer; empty: it does.
  void operator()(const std::string& away) {
    const bool there = away.empty();
    if (there != there_) loop_.ready(there ? working_ : "waiting for the database");
    there_ = there;
    health_.set("database", there, away);
  }

 private:
  loop& loop_;
  telemetry::health_state& health_;
  std::string working_;
  bool there_ = true;
};

}  // namespace fleet::daemon
