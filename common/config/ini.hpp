// The INI file, with line numbers: Boost.Program_options reads such files too, but forgets the lines and cuts values at
// '#'.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace fleet::config {

struct ini_entry {
  std::string key;  ///< "section.name"
  std::string value;
  std::size_t line = 0;  ///< from 1
};

struct ini_problem {
  std::size_t line = 0;
  std::string message;
};

struct ini_document {
  std::vector<ini_entry> entries;
  std::vector<ini_problem> problems;
};

/// "[section]" lines, "name = value" lines, and comment lines that start with # or ;. A value is trimmed and goes to
/// the end of its line.
ini_document parse_ini(std::string_view text);

}  // namespace fleet::config
