#include "tests/unit/layout/source_tree.hpp"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace fleet::layout {
namespace {

namespace fs = std::filesystem;

const fs::path root = FLEET_SOURCE_DIR;

bool is_word(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
}

void blank(std::string& text, std::size_t from, std::size_t to) {
  for (auto at = from; at < std::min(to, text.size()); ++at)
    if (text[at] != '\n') text[at] = ' ';
}

/// The position after the literal that begins with the quote at `at`.
std::size_t after_quoted(std::string_view text, std::size_t at) {
  const char quote = text[at];
  for (++at; at < text.size() && text[at] != quote && text[at] != '\n'; ++at)
    if (text[at] == '\\') ++at;
  return std::min(at + 1, text.size());
}

/// The position after the raw string whose `"` is at `at`.
std::size_t after_raw(std::string_view text, std::size_t at) {
  const auto open = text.find('(', at);
  if (open == std::string_view::npos) return text.size();
  const std::string close = ")" + std::string(text.substr(at + 1, open - at - 1)) + "\"";
  const auto end = text.find(close, open);
  return end == std::string_view::npos ? text.size() : end + close.size();
}

/// The end of the line at `at`; a backslash at a line's end continues it.
std::size_t after_line(std::string_view text, std::size_t at) {
  while (true) {
    const auto end = text.find('\n', at);
    if (end == std::string_view::npos) return text.size();
    if (end == 0 || text[end - 1] != '\\') return end;
    at = end + 1;
  }
}

bool starts_line(std::string_view text, std::size_t at) {
  while (at > 0 && (text[at - 1] == ' ' || text[at - 1] == '\t')) --at;
  return at == 0 || text[at - 1] == '\n';
}

}  // namespace

std::vector<source_file> files_below(const std::vector<std::string>& folders,
                                     const std::vector<std::string>& extensions) {
  std::vector<source_file> found;
  for (const auto& folder : folders) {
    if (!fs::is_directory(root / folder)) continue;
    for (auto entry = fs::recursive_directory_iterator(root / folder); entry != fs::recursive_directory_iterator();
         ++entry) {
      if (entry->path().filename().string().starts_with(".")) {
        entry.disable_recursion_pending();
        continue;
      }
      const auto extension = entry->path().extension().string();
      if (!entry->is_regular_file() || std::find(extensions.begin(), extensions.end(), extension) == extensions.end())
        continue;
      std::ifstream in(entry->path(), std::ios::binary);
      found.push_back({fs::relative(entry->path(), root).generic_string(),
                       std::string(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>())});
    }
  }
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.path < b.path; });
  return found;
}

std::vector<std::string> top_level_entries() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(root)) {
    const auto name = entry.path().filename().string();
    if (name.starts_with(".") || name == "compile_commands.json") continue;
    if (name == "build" || name.starts_with("build-")) continue;
    names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

bool exists(const std::string& path) {
  return fs::exists(root / path);
}

std::string code_only(std::string_view text) {
  std::string code(text);
  for (std::size_t at = 0; at < text.size();) {
    const char c = text[at];
    const bool raw = c == '"' && at > 0 && text[at - 1] == 'R' && (at < 2 || !is_word(text[at - 2]));
    if (text.substr(at, 2) == "//" || (c == '#' && starts_line(text, at))) {
      const auto end = after_line(text, at);
      blank(code, at, end);
      at = end;
    } else if (text.substr(at, 2) == "/*") {
      const auto close = text.find("*/", at + 2);
      const auto end = close == std::string_view::npos ? text.size() : close + 2;
      blank(code, at, end);
      at = end;
    } else if (raw) {
      const auto end = after_raw(text, at);
      blank(code, at + 1, end - 1);
      at = end;
    } else if (c == '"' || (c == '\'' && (at == 0 || !is_word(text[at - 1])))) {  // else a digit separator: 10'000
      const auto end = after_quoted(text, at);
      blank(code, at + 1, end - 1);
      at = end;
    } else {
      ++at;
    }
  }
  return code;
}

int line_of(std::string_view text, std::size_t position) {
  const auto before = text.substr(0, position);
  return 1 + static_cast<int>(std::count(before.begin(), before.end(), '\n'));
}

std::vector<include_line> includes_of(std::string_view text) {
  std::vector<include_line> found;
  int line = 0;
  while (!text.empty()) {
    ++line;
    const auto end = std::min(text.find('\n'), text.size());
    auto rest = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (!rest.starts_with("#include")) continue;
    const auto open = rest.find_first_of("\"<");
    if (open == std::string_view::npos) continue;
    const auto close = rest.find_first_of("\">", open + 1);
    if (close == std::string_view::npos) continue;
    found.push_back({std::string(rest.substr(open + 1, close - open - 1)), rest[open] == '"', line});
  }
  return found;
}

}  // namespace fleet::layout
