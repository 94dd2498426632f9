// What carries changes out and takes them back: the steps that execution_flow journals. Every call is idempotent, so
// that a step whose outcome is unknown after a crash is simply done again.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <boost/json/object.hpp>
#include <chrono>
#include <string>
#include <vector>

#include "common/base/error.hpp"
#include "common/base/ids.hpp"

namespace fleet::agent::execution {

/// A change that was approved, as it is handed to an executor.
struct change_order {
  base::proposal_id proposal;
  boost::json::object code_change;  ///< as proposed; what it may hold is the executor's matter
  std::string description;          ///< `metadata.description`: the commit message where the change brings none
};

struct applied_change {
  std::string base_commit;         ///< what the repository was at; empty where the executor knows no commits
  std::string commit;              ///< the change's own commit; empty likewise
  std::vector<std::string> paths;  ///< every path that the change touched, sorted
  std::string diffstat;            ///< "2 files changed, 3 insertions(+)"
  bool already_applied = false;    ///< found from an earlier attempt; nothing was done now
  std::chrono::milliseconds duration{0};
};

struct verification {
  bool passed = false;
  bool skipped = false;  ///< no command is configured; `passed` is true then
  bool timed_out = false;
  int exit_code = 0;        ///< 128 + signal where a signal ended it
  std::string output_tail;  ///< the end of what it printed, a few KiB
  std::chrono::milliseconds duration{0};
};

struct reverted_change {
  std::string commit;              ///< the revert's commit; empty: the history was moved back, or there are no commits
  std::vector<std::string> paths;  ///< what was given its former content
  bool already_reverted = false;
  std::chrono::milliseconds duration{0};
};

/// How often taking a change back is tried again where the executor was away, and after what pause: each is twice the
/// one before it, up to 64 times the first. Another failure is final at once.
struct retry_rule {
  int max_attempts = 5;
  std::chrono::milliseconds first_pause{1'000};

  /// `attempts`: how many there were.
  bool again_after(const base::error& failed, int attempts) const;
  std::chrono::milliseconds pause_after(int attempts) const;
};

/// Not thread-safe: all calls from the thread of one io_context. Calls may overlap; they are carried out one after the
/// other, a revert before everything else that waits. The object lives longer than the calls.
class executor {
 public:
  virtual ~executor() = default;

  /// Mends what a process that died in the middle left behind. Call it at start; every other call does it first, too.
  /// Value: a sentence about each thing that was mended, or that was left alone because a person changed it since.
  virtual boost::asio::awaitable<base::result<std::vector<std::string>>> recover() = 0;
  /// Errors: `invalid_input` (the change itself is wrong), `conflict` (it does not fit what is there now; or
  /// "repository_dirty: …"), `refused`: everything is as it was before. After `unavailable`, `timeout`, `cancelled` and
  /// `internal` that is not known; `undo` settles it.
  virtual boost::asio::awaitable<base::result<applied_change>> apply(change_order what) = 0;
  /// A command that fails or runs out of time is a value. Error: it could not be run.
  virtual boost::asio::awaitable<base::result<verification>> verify(base::proposal_id proposal) = 0;
  /// Takes back what `apply` of this process or an earlier one did and `verify` refused, or may have done; a value
  /// where it did nothing. Errors as `revert`.
  virtual boost::asio::awaitable<base::result<reverted_change>> undo(base::proposal_id proposal,
                                                                     applied_change what) = 0;
  /// Takes a change back later, keeping what came after it. Errors: `not_found` (never applied here), `conflict` (names
  /// the files that a later change touches too; the repository is as it was before), `unavailable`, `timeout`.
  virtual boost::asio::awaitable<base::result<reverted_change>> revert(base::proposal_id proposal) = 0;
};

}  // namespace fleet::agent::execution
