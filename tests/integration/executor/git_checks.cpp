// What `doctor` says of a repository: every check once against a repository that has the trouble.
#include "singularity_agent/execution/git_checks.hpp"

#include <catch2/catch.hpp>

#include "tests/integration/executor/git_fixture.hpp"

using namespace fleet;
using test::git_fixture;

namespace {

std::vector<base::finding> examine(git_fixture& in, const std::filesystem::path& repository, std::string branch = {}) {
  return test::run(in.io, agent::execution::examine_repository({repository, std::move(branch)}));
}

std::string said(const std::vector<base::finding>& all, const std::string& check) {
  for (const auto& each : all)
    if (each.check == check) return std::string(base::to_string(each.found)) + ": " + each.text;
  return {};
}

}  // namespace

TEST_CASE("doctor: a sound repository, and one that is none") {
  git_fixture in;
  const auto sound = examine(in, in.repo, "main");
  CHECK_THAT(said(sound, "repository"), Catch::StartsWith("ok: ") && Catch::EndsWith(" start"));
  CHECK(said(sound, "branch") == "ok: main");
  CHECK(said(sound, "work tree") == "ok: clean");
  CHECK_THAT(said(sound, "marks"), Catch::StartsWith("ok: "));

  CHECK_THAT(said(examine(in, in.top.path() / "none"), "repository"), Catch::StartsWith("fail: "));
  CHECK_THAT(said(examine(in, in.top.path()), "repository"),
             Catch::StartsWith("fail: ") && Catch::Contains("no git work tree"));
  CHECK_THAT(said(examine(in, in.repo / "src"), "repository"),
             Catch::StartsWith("fail: ") && Catch::Contains("not the top"));
  const auto fresh = in.top.path() / "fresh";
  in.git("init --quiet '" + fresh.string() + "'");
  CHECK_THAT(said(examine(in, fresh), "repository"), Catch::StartsWith("fail: ") && Catch::Contains("no commit yet"));
}

TEST_CASE("doctor: another branch, changed files, a merge under way, an interrupted move, a lock left behind") {
  git_fixture in;
  CHECK_THAT(said(examine(in, in.repo, "release"), "branch"), Catch::StartsWith("fail: main is checked out"));
  in.git("checkout --quiet --detach");
  CHECK_THAT(said(examine(in, in.repo, "main"), "branch"), Catch::StartsWith("fail: no branch is checked out"));
  in.git("checkout --quiet main");

  test::write_file(in.repo / "b.txt", "mine\n");
  CHECK_THAT(said(examine(in, in.repo), "work tree"), Catch::StartsWith("warn: 1 files") && Catch::EndsWith("b.txt"));
  in.git("checkout --quiet -- b.txt");

  in.git("update-ref refs/worktree/singularity_agent/forward HEAD");
  CHECK_THAT(said(examine(in, in.repo), "marks"),
             Catch::StartsWith("warn: ") && Catch::Contains("singularity_agent/forward"));
  in.git("update-ref -d refs/worktree/singularity_agent/forward");

  test::write_file(in.repo / ".git/index.lock", "");
  CHECK_THAT(said(examine(in, in.repo), "work tree"), Catch::StartsWith("warn: ") && Catch::Contains("index.lock"));
  std::filesystem::remove(in.repo / ".git/index.lock");

  in.git("checkout --quiet -b other");
  test::write_file(in.repo / "b.txt", "other\n");
  in.commit_all("other");
  in.git("checkout --quiet main");
  test::write_file(in.repo / "b.txt", "main\n");
  in.commit_all("main");
  in.git("merge --quiet other || true");
  CHECK_THAT(said(examine(in, in.repo), "work tree"), Catch::StartsWith("fail: ") && Catch::Contains("MERGE_HEAD"));
}
