#include "tests/unit/layout/include_rules.hpp"

#include <map>
#include <regex>
#include <set>

namespace fleet::layout {
namespace {

using names = std::set<std::string>;

const std::map<std::string, names>& allowed() {
  static const names all_common = {"base",   "async",     "postgres", "quantumflow", "messages",
                                   "config", "telemetry", "http",     "daemon"};
  static const auto with = [](names more) {
    more.insert(all_common.begin(), all_common.end());
    return more;
  };
  static const std::map<std::string, names> rules = {
      {"boost", {}},
      {"base", {}},
      {"async", {"base"}},
      {"postgres", {"base", "async"}},
      {"quantumflow", {"base", "async", "postgres"}},
      {"messages", {"base"}},
      {"config", {"base"}},
      {"telemetry", {"base"}},
      {"http", {"base", "async", "telemetry", "config"}},
      // A daemon's frame serves /healthz, so it stands above the server.
      {"daemon", {"base", "async", "telemetry", "config", "http"}},
      {"sql", {}},
      {"singularity_agent", with({"sql"})},
      {"centralcloud_daemon", with({"sql"})},
  };
  return rules;
}

/// "postgres" for common/postgres/pool.hpp, "singularity_agent" for singularity_agent/voting/voter.hpp.
std::string part_of(const std::string& path) {
  static const std::string common = "common/";
  const auto rest = path.starts_with(common) ? path.substr(common.size()) : path;
  return rest.substr(0, rest.find('/'));
}

std::string place(const source_file& file, const include_line& line) {
  return file.path + ":" + std::to_string(line.line) + ": ";
}

bool is_pure(const std::string& path) {
  static const std::regex pure(
      R"((.*/)?([a-z0-9_]+_)?(rules|scorer|states|machine|backoff|policy|similarity|learning|strategy|strategies)\.(hpp|cpp))");
  return std::regex_match(path, pure);
}

bool is_forbidden_to_pure(const std::string& target) {
  return target.starts_with("boost/asio") || target.starts_with("boost/beast") || target == "libpq-fe.h" ||
         target == "thread" || target == "ctime";
}

}  // namespace

std::vector<std::string> wrong_includes(const std::vector<source_file>& files) {
  std::vector<std::string> wrong;
  for (const auto& file : files) {
    const auto from = part_of(file.path);
    const auto rule = allowed().find(from);
    if (rule == allowed().end()) {
      wrong.push_back(file.path + ":1: no rule says what " + from + " may include");
      continue;
    }
    for (const auto& line : includes_of(file.text)) {
      if (line.target == "libpq-fe.h" && from != "postgres")
        wrong.push_back(place(file, line) + "only common/postgres may include libpq");
      if (!line.quoted) continue;
      const auto to = part_of(line.target);
      if (line.target.find('/') == std::string::npos)
        wrong.push_back(place(file, line) + line.target + " is not named from the source root");
      else if (to != from && !rule->second.contains(to))
        wrong.push_back(place(file, line) + from + " may not know " + to);
    }
  }
  return wrong;
}

std::vector<std::string> impure_files(const std::vector<source_file>& files) {
  std::map<std::string, const source_file*> by_path;
  for (const auto& file : files) by_path[file.path] = &file;
  std::vector<std::string> impure;
  static const std::regex clock_read(R"(\bnow\s*\()");
  for (const auto& file : files) {
    if (!is_pure(file.path)) continue;
    if (std::regex_search(code_only(file.text), clock_read))
      impure.push_back(file.path + ":1: a pure file reads a clock");
    std::set<std::string> seen = {file.path};
    std::vector<const source_file*> open = {&file};
    while (!open.empty()) {
      const auto* const current = open.back();
      open.pop_back();
      for (const auto& line : includes_of(current->text)) {
        if (is_forbidden_to_pure(line.target))
          impure.push_back(file.path + ":1: a pure file reaches " + line.target + " (" + current->path + ")");
        const auto next = by_path.find(line.target);
        if (next != by_path.end() && seen.insert(line.target).second) open.push_back(next->second);
      }
    }
  }
  return impure;
}

}  // namespace fleet::layout
