// Hands changes to a command of the operator's, for what is no git repository.
#pragma once
#include <chrono>
#include <filesystem>
#include <string>

#include "common/async/process.hpp"
#include "singularity_agent/execution/executor.hpp"
#include "singularity_agent/execution/operation_lock.hpp"

namespace fleet::agent::execution {

struct command_executor_options {
  std::string command;                      ///< run by `sh -c`
  std::filesystem::path working_directory;  ///< empty: the agent's own
  std::chrono::milliseconds timeout{600'000};
  std::chrono::milliseconds lock_timeout{900'000};  ///< how long a call waits for its turn
  std::string instance;
};

/// The command gets ACTION (`apply`, `verify` or `revert`), PROPOSAL_ID and INSTANCE_ID in its environment and, for
/// `apply`, the `code_change` as JSON on standard input (`{}` otherwise). Exit 0: done; anything else: failed, and the
/// end of its standard error says why. It must be idempotent by proposal id: an action is repeated where its outcome is
/// unknown. `undo` is `revert`, also of an `apply` that was cut off anywhere; one that failed by its own word has left
/// nothing behind. Errors: `conflict` (exit status up to 128), `timeout`, `unavailable` (ended by a signal, or could
/// not be started).
class command_executor final : public executor {
 public:
  command_executor(boost::asio::any_io_executor io, command_executor_options options);

  boost::asio::awaitable<base::result<std::vector<std::string>>> recover() override;
  boost::asio::awaitable<base::result<applied_change>> apply(change_order what) override;
  boost::asio::awaitable<base::result<verification>> verify(base::proposal_id proposal) override;
  boost::asio::awaitable<base::result<reverted_change>> undo(base::proposal_id proposal, applied_change what) override;
  boost::asio::awaitable<base::result<reverted_change>> revert(base::proposal_id proposal) override;

 private:
  boost::asio::awaitable<base::result<async::process_result>> call(lane where, std::string action,
                                                                   base::proposal_id proposal, std::string input);

  command_executor_options options_;
  operation_lock lock_;
};

}  // namespace fleet::agent::execution
