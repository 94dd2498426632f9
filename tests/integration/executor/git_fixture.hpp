// A real git repository in a temporary directory, and the executor on it.
#pragma once
#include <unistd.h>

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/json/object.hpp>
#include <catch2/catch.hpp>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "common/base/text.hpp"
#include "singularity_agent/execution/git_executor.hpp"
#include "tests/support/results.hpp"
#include "tests/support/run.hpp"

namespace fleet::test {

class temporary_directory {
 public:
  temporary_directory() {
    std::string pattern = (std::filesystem::temp_directory_path() / "fleet-executor-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no temporary directory");
    path_ = std::filesystem::canonical(pattern);
  }
  temporary_directory(const temporary_directory&) = delete;
  temporary_directory& operator=(const temporary_directory&) = delete;
  ~temporary_directory() {
    std::error_code ec;
    std::filesystem::remove_all(path_, ec);
  }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

inline std::string read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

inline void write_file(const std::filesystem::path& path, const std::string& text) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << text;
}

/// Holds `a.txt` (lines 1 to 20), `b.txt`, `run.sh` (executable) and `src/old.txt` in one commit.
class git_fixture {
 public:
  git_fixture() {
    repo = top.path() / "repo";
    std::filesystem::create_directories(repo);
    git("init --quiet --initial-branch=main .");
    std::string lines;
    for (int i = 1; i <= 20; ++i) lines += "line " + std::to_string(i) + "\n";
    write_file(repo / "a.txt", lines);
    write_file(repo / "b.txt", "one\n");
    write_file(repo / "run.sh", "#!/bin/sh\nexit 0\n");
    std::filesystem::permissions(repo / "run.sh", std::filesystem::perms::owner_exec,
                                 std::filesystem::perm_options::add);
    write_file(repo / "src/old.txt", "old\n");
    commit_all("start");
    options.repository = repo;
    options.instance = "agent-1";
    options.foreign_timeout = std::chrono::seconds(3);
  }

  /// Runs git as a user would, and gives what it printed without white space at the ends.
  std::string git(const std::string& arguments) const {
    const auto command = "cd '" + repo.string() +
                         "' && GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 git -c user.name=p -c user.email=p@x "
                         "-c core.quotePath=false -c core.fsync=none " +
                         arguments + " 2>&1";
    FILE* pipe = ::popen(command.c_str(), "r");
    if (pipe == nullptr) throw std::runtime_error("popen");
    std::string output;
    std::array<char, 4096> buffer{};
    while (const auto count = std::fread(buffer.data(), 1, buffer.size(), pipe)) output.append(buffer.data(), count);
    if (::pclose(pipe) != 0) throw std::runtime_error("git " + arguments + ": " + output);
    return std::string(base::trim(output));
  }
  void commit_all(const std::string& message) const {
    git("add -A");
    git("commit --quiet -m '" + message + "'");
  }
  std::string head() const { return git("rev-parse HEAD"); }
  std::string tree(const std::string& of = "HEAD") const { return git("rev-parse '" + of + "^{tree}'"); }
  std::string status() const { return git("status --porcelain --untracked-files=all"); }
  std::string file(const std::string& path) const { return read_file(repo / path); }

  agent::execution::git_executor& executor() {
    if (!executor_) executor_ = std::make_unique<agent::execution::git_executor>(io.get_executor(), options);
    return *executor_;
  }

  static agent::execution::change_order order(const std::string& id, boost::json::object change,
                                              std::string description = "a change") {
    return {base::proposal_id(id), std::move(change), std::move(description)};
  }
  static boost::json::object files(std::initializer_list<std::pair<std::string, boost::json::value>> content) {
    boost::json::object map;
    for (const auto& [path, text] : content) map[path] = text;
    boost::json::object change;
    change["files"] = std::move(map);
    return change;
  }
  /// The patch that replaces "line N" of a.txt.
  boost::json::object patch_line(int number, const std::string& text) const {
    auto content = file("a.txt");
    const auto before = content;
    const auto old = "line " + std::to_string(number) + "\n";
    content.replace(content.find(old), old.size(), text + "\n");
    write_file(repo / "a.txt", content);
    boost::json::object change;
    change["patch"] = git("diff") + "\n";
    write_file(repo / "a.txt", before);
    return change;
  }

  auto apply(agent::execution::change_order what) { return run(io, executor().apply(std::move(what))); }
  auto revert(const std::string& id) { return run(io, executor().revert(base::proposal_id(id))); }
  auto undo(const std::string& id, agent::execution::applied_change what) {
    return run(io, executor().undo(base::proposal_id(id), std::move(what)));
  }
  auto verify(const std::string& id) { return run(io, executor().verify(base::proposal_id(id))); }
  auto recover() { return run(io, executor().recover()); }

  temporary_directory top;
  std::filesystem::path repo;
  agent::execution::git_executor_options options;
  boost::asio::io_context io;

 private:
  std::unique_ptr<agent::execution::git_executor> executor_;
};

}  // namespace fleet::test
