// Running a program: its output bounded, its time bounded, its whole process group ended when the time is over.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "common/async/stop.hpp"

namespace fleet::async {

struct process_spec {
  std::vector<std::string> argv = {};  ///< program (looked up in PATH) and arguments; or
  std::string shell_command = {};      ///< for `/bin/sh -c`, where argv is empty
  std::string working_directory = {};  ///< empty: this process's
  /// On top of this process's environment, of which it does not get PGFLOW_…_URL and CREDENTIALS_DIRECTORY: what a
  /// daemon logs in with is none of its children's business.
  std::map<std::string, std::string> environment = {};
  std::string stdin_text = {};  ///< written to its standard input, which is then closed
  std::chrono::milliseconds timeout{60'000};
  std::chrono::milliseconds kill_grace{2'000};  ///< from SIGTERM to SIGKILL at the timeout
  std::size_t max_output_bytes = 1U << 20;      ///< kept of each stream; the rest is read and dropped
  stop_token stop = {};                         ///< a hard stop kills the process group at once
};

struct process_result {
  int exit_code = -1;  ///< -1 where a signal ended it
  int signal = 0;
  std::string standard_output;
  std::string standard_error;
  bool output_truncated = false;
  bool error_truncated = false;
  bool timed_out = false;
  bool stopped = false;  ///< by the hard stop
  std::chrono::milliseconds duration{0};

  bool ok() const { return exit_code == 0 && !timed_out && !stopped; }
  /// "exit code 3 (12 ms)", "ended by signal 9, after its time was over (2004 ms)": for a log or an error message.
  std::string describe() const;
  /// The same, and the end of what it said on standard error (or else on standard output): one line of valid UTF-8,
  /// without control characters and without passwords in connection URLs.
  std::string failure() const;
};

/// Runs it to its end; any exit is a value. The process leads a process group of its own. Processes that it leaves
/// behind on a normal exit are left alone, at a timeout or stop they are killed. Cancelling the coroutine kills the
/// group. Throws `base::failure`: `not_found` (no such program or directory), `refused` (not executable), `unavailable`
/// (no process or descriptor to be had).
boost::asio::awaitable<process_result> run_process(process_spec spec);

}  // namespace fleet::async
