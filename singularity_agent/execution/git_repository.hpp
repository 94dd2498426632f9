// One git work tree: questions to it, and moving it from one commit to the next so that a crash in between can be
// mended.
#pragma once
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/base/error.hpp"
#include "common/base/ids.hpp"
#include "singularity_agent/execution/git_runner.hpp"
#include "singularity_agent/execution/git_text.hpp"

namespace fleet::agent::execution {

/// What the history says about a proposal.
struct proposal_marks {
  std::optional<marked_commit> applied;   ///< the newest commit with its `Proposal-Id`
  std::optional<marked_commit> reverted;  ///< the newest with its `Reverts-Proposal-Id`
};

/// Not for overlapping calls: the executor's lock orders them.
class git_repository {
 public:
  git_repository(boost::asio::any_io_executor io, git_runner runner, std::chrono::milliseconds foreign_timeout);

  /// Keeps other agents out of this repository while it lives: the kernel lets go of it when the process dies.
  class claim {
   public:
    explicit claim(int descriptor = -1) : descriptor_(descriptor) {}
    claim(claim&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
    claim& operator=(claim&&) = delete;
    int descriptor() const { return descriptor_; }
    ~claim();

   private:
    int descriptor_;
  };

  /// Checks that this is the top of a work tree with a commit, claims it, and mends what a crash left. What was mended
  /// is appended to `mended`. Errors: `refused`, `unavailable` (another process works there).
  boost::asio::awaitable<base::result<claim>> enter(std::vector<std::string>& mended);

  /// Error `conflict`: another branch is checked out (`branch` not empty), or a merge, rebase or the like is under way.
  boost::asio::awaitable<base::result<void>> check_ready(std::string branch) const;
  boost::asio::awaitable<base::result<std::string>> head() const;
  /// The full id. Empty optional: not known here.
  boost::asio::awaitable<base::result<std::optional<std::string>>> resolve(std::string commit) const;
  /// Tracked files that differ from HEAD.
  boost::asio::awaitable<base::result<std::vector<std::string>>> dirty_paths() const;
  boost::asio::awaitable<base::result<proposal_marks>> find_marks(base::proposal_id proposal) const;
  /// A move is under way, or was when its process died.
  boost::asio::awaitable<base::result<bool>> is_moving() const;
  boost::asio::awaitable<base::result<std::vector<changed_path>>> changes(std::string from, std::string to) const;
  /// "1 file changed, 2 insertions(+)".
  boost::asio::awaitable<base::result<std::string>> diffstat(std::string from, std::string to) const;

  /// Moves HEAD, index and work tree from the first parent of `commit` to it, in the paths that differ only; a git that
  /// fails after it has moved them all is no error. Error `conflict`: HEAD is elsewhere, or a file in the way holds
  /// what no commit has; nothing was changed then. After another error that is not known.
  boost::asio::awaitable<base::result<void>> move_forward(std::string commit);
  /// The way back, from `commit` to its first parent.
  boost::asio::awaitable<base::result<void>> move_back(std::string commit);

  const git_runner& git() const { return git_; }
  const std::filesystem::path& root() const { return git_.repository(); }
  const std::filesystem::path& git_directory() const { return git_directory_; }

 private:
  boost::asio::awaitable<base::result<void>> locate();
  boost::asio::awaitable<base::result<claim>> take_claim() const;
  boost::asio::awaitable<base::result<void>> check_free(std::string from, std::string to) const;
  boost::asio::awaitable<base::result<void>> move_marked(std::string mark, std::string commit, git_call how);
  boost::asio::awaitable<base::result<std::vector<std::pair<std::string, std::string>>>> marks() const;
  boost::asio::awaitable<base::result<void>> mend(std::vector<std::string>& mended);
  boost::asio::awaitable<base::result<void>> mend_move(std::string mark, std::string commit,
                                                       std::vector<std::string>& mended);
  boost::asio::awaitable<base::result<void>> restore(std::string from, std::string to,
                                                     std::vector<std::string>& mended);
  boost::asio::awaitable<base::result<std::vector<std::string>>> foreign_among(std::vector<changed_path> paths,
                                                                               std::string to) const;
  boost::asio::awaitable<base::result<void>> clear_locks(bool all, std::vector<std::string>& mended);
  boost::asio::awaitable<void> wait_for_other_git() const;
  boost::asio::awaitable<base::result<void>> forget(std::string mark) const;

  boost::asio::any_io_executor io_;
  git_runner git_;
  std::chrono::milliseconds foreign_timeout_;
  std::filesystem::path git_directory_;
  bool settled_ = false;  ///< what an earlier process started has ended
};

}  // namespace fleet::agent::execution
