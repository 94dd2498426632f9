// What a unified diff (plain, or with git's extended headers) touches. Pure; used by git_change.
#pragma once
#include <set>
#include <string>
#include <string_view>

#include "common/base/error.hpp"

namespace fleet::messages {

/// The names of all files in the patch with one leading component cut, as `git apply` takes them; unchecked. Error
/// `invalid_input` that names the line: no change in it, malformed, cut short, binary, a symbolic link or a submodule,
/// more than 10000 names.
base::result<std::set<std::string>> names_in_diff(std::string_view patch);

}  // namespace fleet::messages
