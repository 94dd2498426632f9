// The refs that say which move of a work tree is under way. Each exists only during the move, in the work tree's own
// refs.
#pragma once
#include <string_view>

namespace fleet::agent::execution {

inline constexpr std::string_view mark_prefix = "refs/worktree/singularity_agent/";
/// From the first parent of the commit it names to the commit.
inline constexpr std::string_view forward_mark = "refs/worktree/singularity_agent/forward";
/// From the commit it names to that commit's first parent.
inline constexpr std::string_view back_mark = "refs/worktree/singularity_agent/back";

}  // namespace fleet::agent::execution
