// Keeps a change inside its repository: the part of the check that looks at the disk.
#pragma once
#include <filesystem>
#include <string>
#include <string_view>

#include "common/base/error.hpp"

namespace fleet::agent::execution {

/// `path` is relative to `root`. No component before the last may be a symbolic link or a plain file where a directory
/// is needed; components that do not exist yet are fine. Looks with lstat, follows nothing. Error: `refused`.
base::result<void> check_no_link_on_the_way(const std::filesystem::path& root, const std::string& path);

}  // namespace fleet::agent::execution
