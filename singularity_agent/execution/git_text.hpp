// What git prints and what is handed to it, as plain values. Pure.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "common/base/error.hpp"
#include "common/base/ids.hpp"

namespace fleet::agent::execution {

/// One record of `git diff-tree -r --raw -z --no-renames`.
struct changed_path {
  std::string path;
  std::string old_mode;  ///< "100644", "100755", "120000" (symbolic link), "160000" (submodule), "000000" (absent)
  std::string new_mode;
  std::string old_blob;
  std::string new_blob;
  bool added() const { return old_mode == "000000"; }
  bool deleted() const { return new_mode == "000000"; }
  bool operator==(const changed_path&) const = default;
};
/// Error: `internal`, git printed something else.
base::result<std::vector<changed_path>> parse_raw_diff(std::string_view output);

/// What `trailer_log_format` makes `git log -z` print.
inline constexpr std::string_view trailer_log_format =
    "%H%x1e%P%x1e%(trailers:key=Proposal-Id,valueonly,unfold,separator=%x1f)"
    "%x1e%(trailers:key=Reverts-Proposal-Id,valueonly,unfold,separator=%x1f)";
struct marked_commit {
  std::string commit;
  std::vector<std::string> parents;
  std::vector<std::string> proposals;  ///< values of `Proposal-Id`
  std::vector<std::string> reverts;    ///< values of `Reverts-Proposal-Id`
};
base::result<std::vector<marked_commit>> parse_trailer_log(std::string_view output);

/// Paths of `git status --porcelain -z` (renames give both).
std::vector<std::string> parse_status(std::string_view output);
/// Distinct paths of `git ls-files -u -z`.
std::vector<std::string> parse_unmerged(std::string_view output);
/// The records of NUL-separated output.
std::vector<std::string> split_nul(std::string_view output);
std::string join_nul(const std::vector<std::string>& items);
/// "a, b, c and 7 more". To be read and stored, whatever bytes the names are of.
std::string list_some(const std::vector<std::string>& names, std::size_t most = 5);

struct trailer {
  std::string key;
  std::string value;
};
/// A message whose last paragraph is exactly these trailers: nothing in `text` (which a proposer wrote) can pass for
/// one. Control characters of `text` become spaces, at most 32 KiB of it are kept; empty: `fallback`.
std::string commit_message(std::string_view text, std::string_view fallback, const std::vector<trailer>& trailers);

/// A proposal id that reads back from a trailer as it was written: no white space at its ends.
bool fits_in_trailer(std::string_view id);
/// 7 to 64 hexadecimal digits.
bool is_commit_name(std::string_view text);

}  // namespace fleet::agent::execution
