// Who is woken by whose work: one event for each worker that looks into the database for what to do.
#pragma once
#include "common/async/event.hpp"

namespace fleet::agent {

/// Notified after the commit that made the work. Every worker also looks by itself from time to time, so that a missed
/// notification (another process wrote the row) costs time and nothing else.
struct wake_ups {
  async::event dispatch;   ///< a proposal waits to be sent, or a decision made room
  async::event execution;  ///< a proposal is approved
  async::event rollback;   ///< a rollback is asked for
  async::event votes;      ///< a vote waits for the command
  async::event watch;      ///< a change is applied
  async::event samples;    ///< a sample waits to be reported
  async::event steps;      ///< a proposal took a step: the event stream reads on

  void step_taken() { steps.notify_all(); }
};

}  // namespace fleet::agent
