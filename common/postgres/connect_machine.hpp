// How a connection is made: which step comes next. Pure: no socket, no clock, no libpq.
#pragma once
#include <cstddef>
#include <set>
#include <string>

namespace fleet::postgres {

/// libpq tries the hosts of a connection string one after another, but while it is driven step by step it never gives
/// up a host that just does not answer. So each host gets a time of its own here: when it is over, everything is
/// started again without that host. Feed `resume` with what happened; do what it answers.
class connect_machine {
 public:
  enum class event_kind {
    began,           ///< the attempt exists (or could not be made: `failed`)
    polled_reading,  ///< libpq's step is done and wants to read next
    polled_writing,
    polled_ok,
    failed,    ///< libpq gave up: all hosts (that are left) are tried
    ready,     ///< the socket is as wanted
    timed_out  ///< the current host's time is over, in whatever step
  };
  struct event {
    event_kind what;
    std::size_t host = 0;  ///< which host of the connection string libpq is at, from 0; for the polled_… events
  };

  enum class action_kind {
    start,      ///< throw away what there is, begin an attempt without `skipped()`
    poll,       ///< release the socket, take one step of libpq
    wait_read,  ///< assign the socket (it may be another one), wait
    wait_write,
    finish,  ///< connected
    fail     ///< no host is left
  };
  struct action {
    action_kind what;
    bool restart_clock = false;  ///< a new host begins: its time starts now
  };

  explicit connect_machine(std::size_t hosts) : hosts_(hosts == 0 ? 1 : hosts) {}

  /// The first action, before any event.
  action begin();
  action resume(event happened);

  /// Hosts that did not answer in their time.
  const std::set<std::size_t>& skipped() const { return skipped_; }
  /// Why it failed: no host answered in its time, rather than libpq having an error to tell.
  bool timed_out() const { return timed_out_; }

 private:
  action wait(action_kind what, std::size_t host);
  action skip_host();

  std::size_t hosts_;
  std::set<std::size_t> skipped_;
  std::size_t current_ = 0;
  bool timed_out_ = false;
  bool done_ = false;
};

}  // namespace fleet::postgres
