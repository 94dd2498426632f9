// Makes the commit of a change or of its revert without touching work tree or index: everything happens in a scratch
// index and a scratch directory.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <filesystem>
#include <string>
#include <vector>

#include "common/base/error.hpp"
#include "common/messages/git_change.hpp"
#include "singularity_agent/execution/git_repository.hpp"

namespace fleet::agent::execution {

/// Uses the repository's one scratch place, which the caller has by its claim; it is empty again at the end.
class change_builder {
 public:
  explicit change_builder(const git_repository& in);
  ~change_builder();
  change_builder(const change_builder&) = delete;
  change_builder& operator=(const change_builder&) = delete;

  /// The tree of commit `onto` with the change. Errors: `conflict` (does not apply), `invalid_input` (no patch that git
  /// understands, or two paths that exclude each other).
  boost::asio::awaitable<base::result<std::string>> tree_with(messages::git_change change, std::string onto);

  struct three_way {
    std::string base;
    std::string ours;
    std::string theirs;  ///< all three commits
  };
  /// The tree of `ours` with what changed from `base` to `theirs`; follows renames. Error `conflict` names the files.
  boost::asio::awaitable<base::result<std::string>> merged_tree(three_way commits);

  boost::asio::awaitable<base::result<std::string>> commit(std::string tree, std::string parent, std::string message);

 private:
  boost::asio::awaitable<base::result<void>> begin(std::string commit);
  boost::asio::awaitable<base::result<void>> apply_patch(std::string patch);
  boost::asio::awaitable<base::result<void>> write_files(messages::git_change change);
  boost::asio::awaitable<base::result<std::vector<changed_path>>> present(std::vector<std::string> paths);
  base::result<void> put_file(const std::string& path, const std::string& content, bool executable) const;
  git_call call(std::vector<std::string> arguments) const;
  git_call call_in_scratch(std::vector<std::string> arguments) const;

  const git_repository& in_;
  std::filesystem::path scratch_;
  std::filesystem::path index_;
  std::filesystem::path tree_;
};

}  // namespace fleet::agent::execution
