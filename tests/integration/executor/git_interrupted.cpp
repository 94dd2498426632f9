#include <fcntl.h>
#include <sys/file.h>

#include "tests/integration/executor/git_wrapper.hpp"

namespace fleet::test {
namespace {

using base::error_kind;

/// What was asked for is in place, once, and nothing of the move is left.
void check_applied(git_fixture& g, const std::string& commit) {
  CHECK(g.recover()->empty());
  CHECK(g.head() == commit);
  CHECK(g.file("b.txt") == "two\n");
  CHECK(g.status().empty());
  CHECK(g.git("for-each-ref refs/worktree").empty());
  CHECK(g.git("rev-list --count HEAD") == "2");
}

TEST_CASE("git interrupted: a git that did all and was killed before it said so has done it") {
  git_fixture g;
  const auto start = g.tree();
  const auto order = g.order("p-1", g.files({{"b.txt", "two\n"}}));
  const auto applied = [&] {
    const git_wrapper killed(git_wrapper::killed_after("merge --ff-only"));
    return g.apply(order);
  }();
  REQUIRE(applied);
  CHECK(applied->paths == std::vector<std::string>{"b.txt"});
  check_applied(g, applied->commit);
  SECTION("undo") {
    const auto undone = [&] {
      const git_wrapper killed(git_wrapper::killed_after("reset --keep"));
      return g.undo("p-1", *applied);
    }();
    REQUIRE(undone);
    CHECK(g.git("rev-list --count HEAD") == "1");
  }
  SECTION("revert") {
    const auto reverted = [&] {
      const git_wrapper killed(git_wrapper::killed_after("merge --ff-only"));
      return g.revert("p-1");
    }();
    REQUIRE(reverted);
    CHECK(reverted->commit == g.head());
  }
  CHECK(g.tree() == start);
  CHECK(g.status().empty());
}

TEST_CASE("git interrupted: a move whose mark cannot be taken away is done all the same") {
  git_fixture g;
  const auto applied = [&] {
    const git_wrapper broken(git_wrapper::fails("update-ref -d"));
    return g.apply(g.order("p-1", g.files({{"b.txt", "two\n"}})));
  }();
  REQUIRE(applied);
  check_applied(g, applied->commit);
}

TEST_CASE("git interrupted: a commit that could not be described at once is found and not made again") {
  git_fixture g;
  const auto applied = [&] {
    const git_wrapper once(git_wrapper::when("--shortstat", R"([ -e "$HERE/x" ] || { : > "$HERE/x"; kill -9 $$; })"));
    return g.apply(g.order("p-1", g.files({{"b.txt", "two\n"}})));
  }();
  REQUIRE(applied);
  CHECK(applied->diffstat == "1 file changed, 1 insertion(+), 1 deletion(-)");
  check_applied(g, applied->commit);
}

TEST_CASE("git interrupted: a git that was killed before it began has changed nothing, and the next one does it") {
  git_fixture g;
  const auto before = g.head();
  const auto order = g.order("p-1", g.files({{"b.txt", "two\n"}}));
  const auto failed = [&] {
    const git_wrapper killed(git_wrapper::when("merge --ff-only", "kill -9 $$"));
    return g.apply(order);
  }();
  REQUIRE_FALSE(failed);
  CHECK(failed.error().kind == error_kind::unavailable);
  CHECK(g.head() == before);
  CHECK(g.status().empty());
  const auto applied = g.apply(order);
  REQUIRE(applied);
  check_applied(g, applied->commit);
}

TEST_CASE("git interrupted: a refused move that cannot be looked at afterwards is no plain refusal") {
  git_fixture g;
  const git_wrapper broken(git_wrapper::when("merge --ff-only", R"(: > "$HERE/dead"; exit 1)") +
                           R"([ -e "$HERE/dead" ] && exit 1)");
  const auto failed = g.apply(g.order("p-1", g.files({{"b.txt", "two\n"}})));
  REQUIRE_FALSE(failed);
  CHECK(failed.error().kind == error_kind::internal);
}

TEST_CASE("git interrupted: who is kept out of the repository can still say that nothing is to be undone there") {
  git_fixture g;
  g.options.foreign_timeout = std::chrono::milliseconds(50);
  const auto applied = g.apply(g.order("p-1", g.files({{"b.txt", "two\n"}})));
  REQUIRE(applied);
  const int other = ::open((g.repo / ".git/singularity_agent.lock").c_str(), O_RDWR | O_CLOEXEC);
  REQUIRE(other >= 0);
  REQUIRE(::flock(other, LOCK_EX | LOCK_NB) == 0);
  CHECK(g.apply(g.order("p-2", g.files({{"b.txt", "three\n"}}))).error().kind == error_kind::unavailable);
  const auto nothing = g.undo("p-2", {});
  REQUIRE(nothing);
  CHECK(nothing->already_reverted);
  CHECK(g.undo("p-1", *applied).error().kind == error_kind::unavailable);
  // In the middle of a move nobody can say it.
  g.git("update-ref refs/worktree/singularity_agent/forward " + applied->commit);
  CHECK(g.undo("p-2", {}).error().kind == error_kind::unavailable);
  ::close(other);
}

}  // namespace
}  // namespace fleet::test
