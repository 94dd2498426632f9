// Carries changes out as commits in one git work tree, each marked with its proposal's id in a trailer.
#pragma once
#include <chrono>
#include <filesystem>
#include <memory>
#include <string>

#include "singularity_agent/execution/executor.hpp"
#include "singularity_agent/execution/operation_lock.hpp"

namespace fleet::agent::execution {

struct git_executor_options {
  std::filesystem::path repository;  ///< the top of a work tree that has at least one commit
  std::string branch;                ///< not empty: nothing is done unless this branch is checked out
  std::string verify_command;        ///< run by `sh -c` in the repository; empty: nothing to verify
  std::chrono::milliseconds verify_timeout{600'000};
  std::chrono::milliseconds git_timeout{60'000};      ///< for each git process
  std::chrono::milliseconds lock_timeout{900'000};    ///< how long a call waits for its turn
  std::chrono::milliseconds foreign_timeout{10'000};  ///< how long for another process that works in the repository
  std::string instance;                               ///< for the trailer `Instance-Id`
  std::string author_name = "singularity_agent";
  std::string author_email = "singularity_agent@localhost";
  std::size_t max_patch_bytes = 8U * 1024 * 1024;
};

/// Commits carry `Proposal-Id` and `Instance-Id`, reverts `Reverts-Proposal-Id`; these trailers, and not any memory of
/// the agent, say whether a change is there. The work tree is touched only when the finished commit exists, and only in
/// the paths that the change touches. The repository's hooks are not run.
class git_executor final : public executor {
 public:
  git_executor(boost::asio::any_io_executor io, git_executor_options options);
  ~git_executor() override;

  boost::asio::awaitable<base::result<std::vector<std::string>>> recover() override;
  boost::asio::awaitable<base::result<applied_change>> apply(change_order what) override;
  boost::asio::awaitable<base::result<verification>> verify(base::proposal_id proposal) override;
  boost::asio::awaitable<base::result<reverted_change>> undo(base::proposal_id proposal, applied_change what) override;
  boost::asio::awaitable<base::result<reverted_change>> revert(base::proposal_id proposal) override;

 private:
  struct parts;
  std::unique_ptr<parts> parts_;
};

}  // namespace fleet::agent::execution
