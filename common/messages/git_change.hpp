// The form of `code_change` that the git executor carries out, and the paths that such a change touches.
#pragma once
#include <boost/json/object.hpp>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/error.hpp"

namespace fleet::messages {

/// Exactly one of `patch` and `files` is given.
struct git_change {
  std::optional<std::string> patch;                         ///< a unified diff, applied with one leading component cut
  std::map<std::string, std::optional<std::string>> files;  ///< new content by path; nothing deletes the file
  std::optional<std::string> base;                          ///< the revision it was made against
  std::optional<std::string> message;                       ///< of the commit
};

/// Error `invalid_input` with every wrong field below `code_change`; unknown fields are ignored. The patch's inside and
/// the files' paths are checked by `paths_of`.
base::result<git_change> parse_git_change(const boost::json::object& code_change);

/// The paths that the change touches, sorted, each once and all checked: of a patch both names of every file in it.
/// Error `invalid_input` where nothing is changed, where the patch is malformed, cut short or binary, where it makes or
/// changes a symbolic link or a submodule, or where a path is refused by `check_path`.
base::result<std::vector<std::string>> paths_of(const git_change& change);

/// A path inside the repository: relative, valid UTF-8, at most 4096 bytes, no empty, `.`, `..` or `.git` component (in
/// any case, nor a spelling that some file systems take for it), no control characters, no backslash.
base::result<void> check_path(std::string_view path);

}  // namespace fleet::messages
