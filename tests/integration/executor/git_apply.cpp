#include <boost/json/serialize.hpp>

#include "tests/integration/executor/git_fixture.hpp"

namespace fleet::test {
namespace {

namespace fs = std::filesystem;
using base::error_kind;

/// Nothing in the repository is other than before.
struct untouched {
  explicit untouched(const git_fixture& of) : of_(of), head_(of.head()), status_(of.status()) {}
  void check() const {
    CHECK(of_.head() == head_);
    CHECK(of_.status() == status_);
    CHECK_FALSE(fs::exists(of_.repo / ".git/singularity_agent.scratch"));
    CHECK(of_.git("for-each-ref refs/worktree").empty());
  }
  const git_fixture& of_;
  std::string head_;
  std::string status_;
};

TEST_CASE("git apply: a patch becomes one commit with the proposal's trailers") {
  git_fixture g;
  const auto base = g.head();
  const auto done = g.apply(g.order("p-1", g.patch_line(3, "third"), "Better third line\n\nBecause."));
  REQUIRE(done);
  CHECK(done->base_commit == base);
  CHECK(done->commit == g.head());
  CHECK(done->paths == std::vector<std::string>{"a.txt"});
  CHECK(done->diffstat == "1 file changed, 1 insertion(+), 1 deletion(-)");
  CHECK_FALSE(done->already_applied);
  CHECK(g.file("a.txt").find("third\n") != std::string::npos);
  CHECK(g.status().empty());
  CHECK(g.git("rev-parse HEAD^") == base);
  CHECK(g.git("log -1 --format=%B") == "Better third line\n\nBecause.\n\nProposal-Id: p-1\nInstance-Id: agent-1");
  CHECK(g.git("log -1 --format=%an,%cn") == "singularity_agent,singularity_agent");
  CHECK(g.git("symbolic-ref HEAD") == "refs/heads/main");
}

TEST_CASE("git apply: the same proposal again is found and not applied twice, also by a new process") {
  git_fixture g;
  const auto change = g.patch_line(3, "third");
  const auto first = g.apply(g.order("p-1", change));
  REQUIRE(first);
  write_file(g.repo / "b.txt", "later\n");
  g.commit_all("later");
  const auto head = g.head();
  agent::execution::git_executor other(g.io.get_executor(), g.options);
  const auto again = run(g.io, other.apply(g.order("p-1", change)));
  REQUIRE(again);
  CHECK(again->already_applied);
  CHECK(again->commit == first->commit);
  CHECK(again->base_commit == first->base_commit);
  CHECK(again->paths == first->paths);
  CHECK(g.head() == head);
}

TEST_CASE("git apply: a trailer counts only whole and only as a trailer") {
  git_fixture g;
  write_file(g.repo / "b.txt", "two\n");
  g.git("commit -qam 'talks of it' -m 'Proposal-Id: p-1' -m 'and goes on'");
  const auto longer = g.apply(g.order("p-12", g.files({{"n1.txt", "x\n"}})));
  REQUIRE(longer);
  const auto done = g.apply(g.order("p-1", g.files({{"n2.txt", "Proposal-Id: p-3\n"}}), "x\n\nProposal-Id: p-2"));
  REQUIRE(done);
  CHECK_FALSE(done->already_applied);
  // What a proposer writes in a message does not pass for the mark of another proposal.
  const auto forged = g.apply(g.order("p-2", g.files({{"n3.txt", "x\n"}})));
  REQUIRE(forged);
  CHECK_FALSE(forged->already_applied);
}

TEST_CASE("git apply: a map of files creates, changes and deletes, and keeps modes") {
  git_fixture g;
  const auto done = g.apply(g.order("p-1", g.files({{"run.sh", "#!/bin/sh\nexit 1\n"},
                                                    {"new/deep/x.txt", "x\n"},
                                                    {"src/old.txt", nullptr},
                                                    {"\"odd name.txt", "odd"},
                                                    {"ünï/文.txt", "unicode\n"}})));
  REQUIRE(done);
  CHECK(done->paths.size() == 5);
  CHECK(g.status().empty());
  CHECK(g.file("new/deep/x.txt") == "x\n");
  CHECK(g.file("ünï/文.txt") == "unicode\n");
  CHECK(g.file("\"odd name.txt") == "odd");
  CHECK_FALSE(fs::exists(g.repo / "src"));
  CHECK(g.git("ls-files -s run.sh").starts_with("100755"));
  CHECK(g.git("ls-files -s new/deep/x.txt").starts_with("100644"));
}

TEST_CASE("git apply: a patch can set a mode and make directories") {
  git_fixture g;
  boost::json::object change;
  change["patch"] =
      "diff --git a/b.txt b/b.txt\nold mode 100644\nnew mode 100755\n"
      "diff --git a/d/e/f.txt b/d/e/f.txt\nnew file mode 100644\n--- /dev/null\n+++ b/d/e/f.txt\n@@ -0,0 +1 @@\n+f\n";
  const auto done = g.apply(g.order("p-1", change));
  if (!done) FAIL(done.error().message);
  CHECK(g.git("ls-files -s b.txt").starts_with("100755"));
  CHECK(g.file("d/e/f.txt") == "f\n");
  CHECK(g.status().empty());
}

TEST_CASE("git apply: a dirty work tree is refused by name and stays") {
  git_fixture g;
  const auto change = g.patch_line(3, "third");
  write_file(g.repo / "b.txt", "mine\n");
  const untouched before(g);
  const auto done = g.apply(g.order("p-1", change));
  REQUIRE_FALSE(done);
  CHECK(done.error().kind == error_kind::conflict);
  CHECK(done.error().message.find("repository_dirty") != std::string::npos);
  CHECK(done.error().message.find("b.txt") != std::string::npos);
  before.check();
  CHECK(g.file("b.txt") == "mine\n");
}

TEST_CASE("git apply: an untracked or ignored file is never overwritten") {
  git_fixture g;
  write_file(g.repo / ".gitignore", "*.log\n");
  g.commit_all("ignore");
  write_file(g.repo / "mine.txt", "mine\n");
  write_file(g.repo / "mine.log", "mine\n");
  for (const std::string path : {"mine.txt", "mine.log"}) {
    const untouched before(g);
    const auto done = g.apply(g.order("p-" + path, g.files({{path, "theirs\n"}})));
    REQUIRE_FALSE(done);
    CHECK(done.error().kind == error_kind::conflict);
    CHECK(done.error().message.find(path) != std::string::npos);
    CHECK(g.file(path) == "mine\n");
    before.check();
  }
}

TEST_CASE("git apply: a patch that does not apply says so and changes nothing") {
  git_fixture g;
  auto change = g.patch_line(3, "third");
  write_file(g.repo / "a.txt", "all different\n");
  g.commit_all("rewrite");
  const untouched before(g);
  const auto done = g.apply(g.order("p-1", change));
  REQUIRE_FALSE(done);
  CHECK(done.error().kind == error_kind::conflict);
  CHECK(done.error().message.find("does not apply") != std::string::npos);
  CHECK(done.error().message.find("a.txt") != std::string::npos);
  before.check();
}

TEST_CASE("git apply: bad input is refused before the repository is touched") {
  git_fixture g;
  const auto patch = [](const std::string& text) {
    boost::json::object change;
    change["patch"] = text;
    return change;
  };
  const auto hunk = [](const std::string& name) {
    return "--- a/" + name + "\n+++ b/" + name + "\n@@ -0,0 +1 @@\n+x\n";
  };
  std::vector<boost::json::object> changes{
      {},
      patch(""),
      patch("no patch at all\n"),
      patch("diff --git a/x b/x\nindex 1..2 100644\nBinary files a/x and b/x differ\n"),
      patch(hunk("../../outside.txt")),
      patch(hunk(".git/hooks/post-commit")),
      patch("diff --git a/l b/l\nnew file mode 120000\n--- /dev/null\n+++ b/l\n@@ -0,0 +1 @@\n+/etc\n"),
      patch("--- /dev/null\n+++ /etc/outside\n@@ -0,0 +1 @@\n+x\n"),
      g.files({{"../outside.txt", "x"}}),
      g.files({{"/etc/outside.txt", "x"}}),
      g.files({{".git/config", "x"}}),
      g.files({{"a/.GIT/config", "x"}}),
      g.files({{"a/../../x", "x"}}),
      g.files({{"", "x"}}),
      g.files({{"x", 5}}),
      g.files({}),
  };
  auto option_as_base = g.files({{"x", "x"}});
  option_as_base["base"] = "--output=/tmp/x";
  changes.push_back(option_as_base);
  const untouched before(g);
  for (const auto& change : changes) {
    CAPTURE(boost::json::serialize(change));
    const auto done = g.apply(g.order("p-1", change));
    REQUIRE_FALSE(done);
    CHECK(done.error().kind == error_kind::invalid_input);
  }
  CHECK_FALSE(g.apply(g.order("p\n1", g.files({{"x", "x"}}))));
  CHECK_FALSE(g.apply(g.order("p-1 ", g.files({{"x", "x"}}))));
  before.check();
  CHECK_FALSE(fs::exists(g.top.path() / "outside.txt"));
}

TEST_CASE("git apply: a symbolic link on the way out of the repository is not followed") {
  git_fixture g;
  fs::create_directories(g.top.path() / "outside");
  fs::create_directory_symlink(g.top.path() / "outside", g.repo / "tracked");
  g.commit_all("link");
  fs::create_directory_symlink(g.top.path() / "outside", g.repo / "untracked");
  boost::json::object patch;
  patch["patch"] = "--- /dev/null\n+++ b/tracked/x.txt\n@@ -0,0 +1 @@\n+x\n";
  const std::vector<boost::json::object> changes{g.files({{"tracked/x.txt", "x"}}), g.files({{"untracked/x.txt", "x"}}),
                                                 g.files({{"tracked", "x"}}), patch};
  for (const auto& change : changes) {
    CAPTURE(boost::json::serialize(change));
    const untouched before(g);
    CHECK_FALSE(g.apply(g.order("p-1", change)));
    before.check();
    CHECK(fs::is_empty(g.top.path() / "outside"));
  }
}

TEST_CASE("git apply: a change that names its base is merged into what came since") {
  git_fixture g;
  const auto base = g.head();
  auto patch = g.patch_line(3, "third");
  patch["base"] = base;
  auto whole = g.files({{"b.txt", "one\ntwo\n"}});
  whole["base"] = base.substr(0, 12);
  auto clash = g.files({{"b.txt", "three\n"}});
  clash["base"] = base;
  auto unknown = g.files({{"b.txt", "three\n"}});
  unknown["base"] = std::string(40, 'a');
  auto content = g.file("a.txt");
  content.replace(content.find("line 1\n"), 7, "first\nand more\n");
  content.replace(content.find("line 6\n"), 7, "sixth\n");
  write_file(g.repo / "a.txt", content);
  g.commit_all("near by");
  const auto done = g.apply(g.order("p-1", patch));
  if (!done) FAIL(done.error().message);
  CHECK(g.file("a.txt").starts_with("first\nand more\nline 2\nthird\n"));
  REQUIRE(g.apply(g.order("p-2", whole)));
  CHECK(g.file("b.txt") == "one\ntwo\n");
  const untouched before(g);
  const auto refused = g.apply(g.order("p-3", clash));
  REQUIRE_FALSE(refused);
  CHECK(refused.error().kind == error_kind::conflict);
  CHECK(refused.error().message.find("b.txt") != std::string::npos);
  CHECK_FALSE(g.apply(g.order("p-4", unknown)));
  before.check();
}

TEST_CASE("git apply: what the repository has already, or cannot hold, is a conflict") {
  git_fixture g;
  const untouched before(g);
  for (const auto& change :
       {g.files({{"b.txt", "one\n"}}), g.files({{"nowhere.txt", nullptr}}), g.files({{"b.txt/below", "x"}})}) {
    const auto done = g.apply(g.order("p-1", change));
    REQUIRE_FALSE(done);
    CHECK(done.error().kind == error_kind::conflict);
  }
  before.check();
}

TEST_CASE("git apply: hooks and a rebase, another branch, a subdirectory stop it or are not run") {
  git_fixture g;
  for (const std::string hook : {"pre-commit", "post-merge", "reference-transaction", "post-checkout"}) {
    write_file(g.repo / ".git/hooks" / hook,
               "#!/bin/sh\necho ran >> '" + (g.top.path() / "hooked").string() + "'\nexit 1\n");
    fs::permissions(g.repo / ".git/hooks" / hook, fs::perms::owner_all);
  }
  REQUIRE(g.apply(g.order("p-1", g.files({{"n.txt", "n\n"}}))));
  CHECK_FALSE(fs::exists(g.top.path() / "hooked"));
  fs::create_directories(g.repo / ".git/rebase-merge");
  const auto rebasing = g.apply(g.order("p-2", g.files({{"m.txt", "m\n"}})));
  REQUIRE_FALSE(rebasing);
  CHECK(rebasing.error().message.find("rebase") != std::string::npos);
  fs::remove_all(g.repo / ".git/rebase-merge");
  auto other = g.options;
  other.branch = "release";
  agent::execution::git_executor on_branch(g.io.get_executor(), other);
  CHECK(run(g.io, on_branch.apply(g.order("p-2", g.files({{"m.txt", "m\n"}})))).error().kind == error_kind::conflict);
  other.branch.clear();
  other.repository = g.repo / "src";
  agent::execution::git_executor below(g.io.get_executor(), other);
  CHECK(run(g.io, below.recover()).error().kind == error_kind::refused);
  other.repository = g.top.path();
  agent::execution::git_executor nowhere(g.io.get_executor(), other);
  CHECK(run(g.io, nowhere.recover()).error().kind == error_kind::refused);
}

TEST_CASE("git apply: changes that come at the same time are carried out one after the other") {
  git_fixture g;
  int ended = 0;
  std::vector<std::string> errors;
  const auto done = [&](std::exception_ptr e, base::result<agent::execution::applied_change> applied) {
    ++ended;
    if (e || !applied) errors.push_back(e ? "threw" : applied.error().message);
  };
  agent::execution::git_executor other(g.io.get_executor(), g.options);
  for (int i = 0; i < 4; ++i) {
    const auto name = "p-" + std::to_string(i);
    auto& by = i % 2 == 0 ? g.executor() : static_cast<agent::execution::executor&>(other);
    boost::asio::co_spawn(g.io, by.apply(g.order(name, g.files({{name + ".txt", name.c_str()}}))), done);
  }
  REQUIRE(run_until(g.io, [&] { return ended == 4; }));
  CHECK(errors == std::vector<std::string>{});
  CHECK(g.git("rev-list --count HEAD") == "5");
  CHECK(g.status().empty());
}

}  // namespace
}  // namespace fleet::test
