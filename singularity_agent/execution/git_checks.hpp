// What `doctor` looks at in the agent's repository. Only reads: the running agent may be at work there.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <filesystem>
#include <string>
#include <vector>

#include "common/base/finding.hpp"

namespace fleet::agent::execution {

struct repository_checks {
  std::filesystem::path repository;
  std::string branch;  ///< that has to be checked out; empty: any
};

/// Findings "repository" (a work tree with a commit that this user may write to), "branch", "work tree" (clean, nothing
/// half done) and "marks" (moves that were interrupted). Where the first fails the others are left out.
boost::asio::awaitable<std::vector<base::finding>> examine_repository(repository_checks what);

}  // namespace fleet::agent::execution
