// The steps of a rollback strategy: what each name stands for here, and running them in order.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/error.hpp"
#include "singularity_agent/execution/executor.hpp"

namespace fleet::agent::execution {

enum class step_action { revert, command, skip };
enum class step_outcome { done, failed, skipped };
std::string_view to_string(step_outcome outcome);

struct planned_step {
  std::string name;
  step_action action = step_action::skip;
  std::string command;  ///< for `command`: run by `sh -c`
  bool operator==(const planned_step&) const = default;
};

struct step_result {
  std::string name;
  step_outcome outcome = step_outcome::skipped;
  std::string detail;  ///< what was done, why it failed, or why it was skipped
  std::chrono::milliseconds duration{0};
};

using step_commands = std::map<std::string, std::string, std::less<>>;  ///< step name → `executor.step.<name>`

constexpr std::size_t max_rollback_steps = 64;

/// `revert_code`, `git_revert`, `revert_model_config` and `revert_cache_config` are built in: the executor takes the
/// change back. Any other name is the command configured for it, or skipped. A strategy whose names hold no revert gets
/// `revert_code` in front: a rollback that reverts nothing would leave the breach in place. The second revert of a
/// strategy is skipped: the first did it all. At most `max_rollback_steps` are kept.
std::vector<planned_step> plan_rollback(const std::vector<std::string>& names, const step_commands& commands);

/// Whether the change was taken back: the revert is done. A later step that failed (a cache that could not be cleared)
/// does not undo that; the rollback has failed all the same.
bool reverted(const std::vector<step_result>& results);
/// Every step is done or skipped.
bool all_done(const std::vector<step_result>& results);
/// In a sentence, whether the change was taken back, and which steps failed with what.
std::string summary_of(const std::vector<step_result>& results);

/// What an earlier run of the agent did of a step.
struct earlier_step {
  enum class kind { none, unfinished, finished };
  kind how_far = kind::none;
  step_result result = {};  ///< of a finished one
};

/// Where steps are written down before and after they run; `place` is theirs in the plan.
class step_journal {
 public:
  virtual ~step_journal() = default;
  virtual boost::asio::awaitable<earlier_step> begin(int place, std::string name) = 0;
  virtual boost::asio::awaitable<void> finish(int place, step_result result) = 0;
};

struct rollback_context {
  base::proposal_id proposal;
  std::string instance;
  std::string reason;
  std::string working_directory;  ///< of the commands; empty: the agent's own
  std::chrono::milliseconds command_timeout{60'000};
  std::function<void()> before_step = [] {};
  std::function<bool()> stopping = [] { return false; };  ///< the agent is told to stop
  step_journal* journal = nullptr;                        ///< null: nothing is written down
};

/// Runs the steps in order. When the revert fails the steps after it are skipped (restarting on the bad change helps
/// nobody); when a command fails the rest still runs. A command gets PROPOSAL_ID, INSTANCE_ID, REASON, STEP and
/// ACTION=rollback in its environment. One that the journal has is not run again: an earlier run finished it, or ended
/// in the middle of it, maybe by its doing (a restart of the agent); that one is done, in doubt, and so is one that a
/// signal ended while the agent was told to stop. A revert is asked for again: it finds itself done. `by` outlives the
/// call.
boost::asio::awaitable<std::vector<step_result>> run_rollback(executor& by, std::vector<planned_step> steps,
                                                              rollback_context context);

}  // namespace fleet::agent::execution
