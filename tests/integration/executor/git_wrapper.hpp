// A `git` of the test's own in front of the real one: what a full disk, the out-of-memory killer or a slow machine does
// to one call of it.
#pragma once
#include <cstdlib>
#include <string>

#include "tests/integration/executor/git_fixture.hpp"

namespace fleet::test {

/// While it lives, every `git` of this process is a shell script that gets the same arguments. `script` sees them as
/// "$*", too, runs the real one by "$GIT" "$@", and may keep files in "$HERE"; where it ends, the real one is run.
class git_wrapper {
 public:
  explicit git_wrapper(const std::string& script) : path_(std::getenv("PATH")) {
    const auto file = here_.path() / "git";
    write_file(file, "#!/bin/sh\nPATH='" + path_ + "'\nGIT=$(command -v git)\nHERE='" + here_.path().string() + "'\n" +
                         script + "\nexec \"$GIT\" \"$@\"\n");
    std::filesystem::permissions(file, std::filesystem::perms::owner_all);
    ::setenv("PATH", (here_.path().string() + ":" + path_).c_str(), 1);
  }
  git_wrapper(const git_wrapper&) = delete;
  git_wrapper& operator=(const git_wrapper&) = delete;
  ~git_wrapper() { ::setenv("PATH", path_.c_str(), 1); }

  /// Does `then` when git is called with these words in a row.
  static std::string when(const std::string& words, const std::string& then) {
    return "case \" $* \" in *\" " + words + " \"*) " + then + ";; esac\n";
  }
  /// It does its work and is killed before it can say so.
  static std::string killed_after(const std::string& words) { return when(words, R"("$GIT" "$@"; kill -9 $$)"); }
  static std::string fails(const std::string& words) { return when(words, "exit 1"); }

 private:
  temporary_directory here_;
  std::string path_;
};

}  // namespace fleet::test
