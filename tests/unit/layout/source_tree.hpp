// The source tree as the layout tests see it: files with their text, and the text without what the compiler ignores.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace fleet::layout {

struct source_file {
  std::string path;  ///< from the source root, with "/"
  std::string text;
};

/// Files below the given folders whose extension is one of `extensions` (".cpp"), sorted by path. Build trees, `.git`
/// and other dot-folders are left out.
std::vector<source_file> files_below(const std::vector<std::string>& folders,
                                     const std::vector<std::string>& extensions);

/// Names in the source root itself, without dot-files, build folders and links to the compilation database.
std::vector<std::string> top_level_entries();

bool exists(const std::string& path);

/// The same length and lines, with comments, string and character literals and preprocessor lines blanked. A literal's
/// quotes stay, so that it still reads as an operand.
std::string code_only(std::string_view text);

/// 1 for the first line.
int line_of(std::string_view text, std::size_t position);

struct include_line {
  std::string target;
  bool quoted = false;  ///< "..." and not <...>
  int line = 0;
};
std::vector<include_line> includes_of(std::string_view text);

}  // namespace fleet::layout
