// Whether some git process is at work in a repository: what tells a lock file that is held from one that was left
// behind.
#pragma once
#include <filesystem>

namespace fleet::agent::execution {

/// A process named git of the same user whose working directory is `root` or below it, or below `git_directory`. A git
/// of another user is not seen; the files it locks are not ours to remove either, see `owned_by_us`.
bool git_is_at_work(const std::filesystem::path& root, const std::filesystem::path& git_directory,
                    const std::filesystem::path& proc = "/proc");

/// Whether the file exists and belongs to this process's user.
bool owned_by_us(const std::filesystem::path& file);

}  // namespace fleet::agent::execution
