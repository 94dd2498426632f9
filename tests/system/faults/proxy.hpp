// A TCP proxy in front of PostgreSQL that does to connections what networks do, switched while it runs.
#pragma once
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

namespace fleet::test::faults {

enum class link_fault {
  none,
  black_hole,  ///< nothing arrives any more; goes on where it stopped when the fault ends
  reset,       ///< connections end with RST, new ones too
  half_open,   ///< the server's side is closed, the client is not told (at the moment of switching; new ones work)
  delay,       ///< every chunk comes 200 ms late
  trickle,     ///< one byte a write
  drop_commit_reply  ///< the server's reply to COMMIT is lost with its connection
};

enum class link_scope { all, listeners };  ///< listeners: connections that sent LISTEN

/// Runs on a thread of its own; may be called from any. A door is a loopback port with faults of its own.
class fault_proxy {
 public:
  explicit fault_proxy(int upstream_port);
  ~fault_proxy();
  fault_proxy(const fault_proxy&) = delete;
  fault_proxy& operator=(const fault_proxy&) = delete;

  /// Opens a door and returns its port.
  int open(const std::string& door);
  /// Returns when the fault is in force. `door` empty: all doors.
  void set(const std::string& door, link_fault what, link_scope scope = link_scope::all);
  void clear() { set({}, link_fault::none); }

  std::uint64_t connections() const;      ///< accepted so far
  std::uint64_t dropped_commits() const;  ///< replies to COMMIT that were lost so far

 private:
  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace fleet::test::faults
