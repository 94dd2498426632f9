// What a change that brings whole files does to the repository as it stands: for the people who look at it.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <boost/json/object.hpp>
#include <cstddef>
#include <optional>

#include "common/messages/git_change.hpp"
#include "singularity_agent/execution/git_runner.hpp"

namespace fleet::agent::execution {

/// Only reads, so it waits for nobody who works in the repository.
class change_preview {
 public:
  static constexpr std::size_t max_files = 100;
  static constexpr std::size_t max_bytes = 256U << 10;  ///< of the new contents, and of the former ones

  explicit change_preview(git_runner git) : git_(std::move(git)) {}

  /// {commit, files: {path: hunks of a unified diff}} against the change's base, or HEAD. A path whose file there is no
  /// text has null; one that stays as it is has "". Nothing where the change is no set of files, is larger than people
  /// read, or git does not answer: a proposal never fails for want of it.
  boost::asio::awaitable<std::optional<boost::json::object>> of(boost::json::object code_change) const;

 private:
  boost::asio::awaitable<std::optional<boost::json::object>> against(std::string commit,
                                                                     messages::git_change change) const;

  git_runner git_;
};

}  // namespace fleet::agent::execution
