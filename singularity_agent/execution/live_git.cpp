#include "singularity_agent/execution/live_git.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <fstream>
#include <string>

namespace fleet::agent::execution {

namespace fs = std::filesystem;

namespace {

bool is_below(const fs::path& path, const fs::path& top) {
  return std::mismatch(top.begin(), top.end(), path.begin(), path.end()).first == top.end();
}

bool is_number(const std::string& text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isdigit(c) != 0; });
}

}  // namespace

bool git_is_at_work(const fs::path& root, const fs::path& git_directory, const fs::path& proc) {
  std::error_code ec;
  for (fs::directory_iterator entry(proc, ec), end; !ec && entry != end; entry.increment(ec)) {
    if (!is_number(entry->path().filename().string())) continue;
    std::string name;
    std::getline(std::ifstream(entry->path() / "comm"), name);
    if (!name.starts_with("git")) continue;
    std::error_code unreadable;
    const auto directory = fs::read_symlink(entry->path() / "cwd", unreadable);
    if (!unreadable && (is_below(directory, root) || is_below(directory, git_directory))) return true;
  }
  return false;
}

bool owned_by_us(const fs::path& file) {
  struct stat info {};
  return ::lstat(file.c_str(), &info) == 0 && info.st_uid == ::geteuid();
}

}  // namespace fleet::agent::execution
