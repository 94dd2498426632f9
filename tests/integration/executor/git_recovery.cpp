#include <sys/wait.h>

#include <thread>

#include "tests/integration/executor/git_fixture.hpp"

namespace fleet::test {
namespace {

namespace fs = std::filesystem;
using base::error_kind;

/// A repository in which a process died while it moved from `from` to `to`.
struct interrupted : git_fixture {
  interrupted() {
    change = files({{"b.txt", "one\ntwo\n"}, {"n/new.txt", "new\n"}, {"src/old.txt", nullptr}});
    from = head();
    agent::execution::git_executor before(io.get_executor(), options);
    const auto done = run(io, before.apply(order("p-1", change)));
    REQUIRE(done);
    to = done->commit;
    git("reset --quiet --hard " + from);
  }
  void mark(const std::string& kind) const { git("update-ref refs/worktree/singularity_agent/" + kind + " " + to); }
  void check_as_before() const {
    CHECK(head() == from);
    CHECK(status().empty());
    CHECK(git("for-each-ref refs/worktree").empty());
    CHECK_FALSE(fs::exists(repo / ".git/index.lock"));
    CHECK_FALSE(fs::exists(repo / "n"));
  }
  boost::json::object change;
  std::string from;
  std::string to;
};

TEST_CASE("git recovery: staged and not committed is taken back, and the change then goes in") {
  interrupted g;
  g.mark("forward");
  g.git("read-tree -m -u HEAD " + g.to);
  REQUIRE_FALSE(g.status().empty());
  const auto mended = g.recover();
  REQUIRE(mended);
  CHECK(mended->size() == 1);
  g.check_as_before();
  const auto done = g.apply(g.order("p-1", g.change));
  REQUIRE(done);
  CHECK_FALSE(done->already_applied);
  CHECK(g.file("b.txt") == "one\ntwo\n");
}

TEST_CASE("git recovery: half-written files and a lock left behind are mended by the next call itself") {
  interrupted g;
  g.mark("forward");
  write_file(g.repo / ".git/index.lock", "");
  write_file(g.repo / ".git/refs/heads/main.lock", "");
  write_file(g.repo / "b.txt", "one\ntw");
  write_file(g.repo / "n/new.txt", "");
  fs::remove(g.repo / "src/old.txt");
  SECTION("recover") {
    const auto mended = g.recover();
    REQUIRE(mended);
    CHECK(mended->size() == 3);
    g.check_as_before();
    CHECK(g.recover()->empty());
  }
  SECTION("apply") {
    const auto done = g.apply(g.order("p-1", g.change));
    REQUIRE(done);
    CHECK(g.status().empty());
    CHECK(g.file("n/new.txt") == "new\n");
  }
}

TEST_CASE("git recovery: a move that was complete but for its mark is left") {
  interrupted g;
  g.git("reset --quiet --hard " + g.to);
  g.mark("forward");
  REQUIRE(g.recover());
  CHECK(g.head() == g.to);
  CHECK(g.status().empty());
  CHECK(g.git("for-each-ref refs/worktree").empty());
  CHECK(g.apply(g.order("p-1", g.change))->already_applied);
}

TEST_CASE("git recovery: an interrupted undo is taken back and done again") {
  interrupted g;
  g.git("reset --quiet --hard " + g.to);
  g.mark("back");
  g.git("read-tree -m -u HEAD " + g.from);
  const auto undone = g.undo("p-1", {});
  if (!undone) FAIL(undone.error().message);
  CHECK(undone->paths.size() == 3);
  g.check_as_before();
}

TEST_CASE("git recovery: what a person wrote since stays and is named") {
  interrupted g;
  g.mark("forward");
  g.git("read-tree -m -u HEAD " + g.to);
  write_file(g.repo / "b.txt", "a person's\n");
  write_file(g.repo / "n/new.txt", "new\nand a person's\n");
  const auto mended = g.recover();
  REQUIRE(mended);
  REQUIRE_FALSE(mended->empty());
  CHECK((*mended)[0].find("b.txt") != std::string::npos);
  CHECK((*mended)[0].find("n/new.txt") != std::string::npos);
  CHECK(g.file("b.txt") == "a person's\n");
  CHECK(g.file("n/new.txt") == "new\nand a person's\n");
  CHECK(g.file("src/old.txt") == "old\n");
  CHECK(g.status() == "M b.txt\n?? n/new.txt");
  CHECK(g.apply(g.order("p-1", g.change)).error().kind == error_kind::conflict);
}

TEST_CASE("git recovery: when HEAD has moved on, nothing is touched") {
  interrupted g;
  g.mark("forward");
  write_file(g.repo / "c.txt", "c\n");
  g.commit_all("moved on");
  const auto head = g.head();
  const auto mended = g.recover();
  REQUIRE(mended);
  CHECK(mended->size() == 1);
  CHECK(g.head() == head);
  CHECK(g.status().empty());
  CHECK(g.git("for-each-ref refs/worktree").empty());
}

TEST_CASE("git recovery: a lock of somebody else's is waited for and not removed") {
  git_fixture g;
  g.options.foreign_timeout = std::chrono::milliseconds(50);
  write_file(g.repo / ".git/index.lock", "");
  const auto done = g.apply(g.order("p-1", g.files({{"n.txt", "n\n"}})));
  REQUIRE_FALSE(done);
  CHECK(done.error().kind == error_kind::unavailable);
  CHECK(done.error().message.find("index.lock") != std::string::npos);
  CHECK(fs::exists(g.repo / ".git/index.lock"));
  fs::remove(g.repo / ".git/index.lock");
  CHECK(g.apply(g.order("p-1", g.files({{"n.txt", "n\n"}}))));
}

TEST_CASE("git recovery: a mark's own lock and scratch files of a dead process are no hindrance") {
  git_fixture g;
  write_file(g.repo / ".git/refs/worktree/singularity_agent/forward.lock", "");
  write_file(g.repo / ".git/singularity_agent.scratch/tree/x", "x");
  CHECK(g.apply(g.order("p-1", g.files({{"n.txt", "n\n"}}))));
  CHECK(g.status().empty());
}

TEST_CASE("git recovery: only the touched paths are restored") {
  interrupted g;
  g.mark("forward");
  write_file(g.repo / "a.txt", "a person's work\n");
  g.git("read-tree -m -u HEAD " + g.to);
  REQUIRE(g.recover());
  CHECK(g.status() == "M a.txt");
  CHECK(g.file("a.txt") == "a person's work\n");
}

/// A process of its own that does one thing and is killed after a while.
template <class Work>
void run_and_kill(std::chrono::milliseconds after, Work work) {
  const auto child = ::fork();
  if (child == 0) {
    work();
    ::_exit(0);
  }
  std::this_thread::sleep_for(after);
  ::kill(child, SIGKILL);
  int status = 0;
  ::waitpid(child, &status, 0);
}

TEST_CASE("git recovery: killed at any moment, a change is there whole or not at all, and goes in and out once") {
  for (const int after_ms : {2, 12, 25, 40, 60}) {
    git_fixture g;
    g.options.foreign_timeout = std::chrono::seconds(5);
    const auto start = g.tree();
    const auto change = g.files({{"b.txt", "one\ntwo\n"}, {"n/new.txt", "new\n"}, {"src/old.txt", nullptr}});
    CAPTURE(after_ms);
    run_and_kill(std::chrono::milliseconds(after_ms), [&] { (void)g.apply(g.order("p-1", change)); });
    const auto applied = g.apply(g.order("p-1", change));
    if (!applied) FAIL(applied.error().message);
    CHECK(g.status().empty());
    CHECK(g.git("rev-list --count HEAD") == "2");
    run_and_kill(std::chrono::milliseconds(after_ms), [&] {
      boost::asio::io_context io;
      agent::execution::git_executor other(io.get_executor(), g.options);
      (void)run(io, other.revert(base::proposal_id("p-1")));
    });
    const auto reverted = g.revert("p-1");
    if (!reverted) FAIL(reverted.error().message);
    CHECK(g.status().empty());
    CHECK(g.git("rev-list --count HEAD") == "3");
    CHECK(g.tree() == start);
  }
}

}  // namespace
}  // namespace fleet::test
