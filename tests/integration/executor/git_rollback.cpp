#include "singularity_agent/execution/rollback_steps.hpp"
#include "tests/integration/executor/git_fixture.hpp"

namespace fleet::test {
namespace {

namespace fs = std::filesystem;
using base::error_kind;

TEST_CASE("git verify: the command's exit, output and time are a value") {
  git_fixture g;
  CHECK(g.verify("p-1")->skipped);
  CHECK(g.verify("p-1")->passed);
  g.options.verify_command = "echo checked $PROPOSAL_ID in $(basename \"$PWD\"); exit 3";
  agent::execution::git_executor failing(g.io.get_executor(), g.options);
  const auto failed = run(g.io, failing.verify(base::proposal_id("p-1")));
  REQUIRE(failed);
  CHECK_FALSE(failed->passed);
  CHECK(failed->exit_code == 3);
  CHECK(failed->output_tail == "checked p-1 in repo");
  g.options.verify_command = "exec sleep 30";
  g.options.verify_timeout = std::chrono::milliseconds(50);
  agent::execution::git_executor slow(g.io.get_executor(), g.options);
  const auto late = run(g.io, slow.verify(base::proposal_id("p-1")));
  REQUIRE(late);
  CHECK(late->timed_out);
  CHECK_FALSE(late->passed);
}

TEST_CASE("git undo: after a failed verification content and HEAD are as before") {
  git_fixture g;
  write_file(g.repo / "notes.txt", "untracked\n");
  const auto head = g.head();
  const auto before = g.file("a.txt");
  auto change = g.patch_line(3, "third");
  const auto done = g.apply(g.order("p-1", change));
  REQUIRE(done);
  const auto undone = g.undo("p-1", *done);
  REQUIRE(undone);
  CHECK(undone->paths == std::vector<std::string>{"a.txt"});
  CHECK(undone->commit.empty());
  CHECK(g.head() == head);
  CHECK(g.file("a.txt") == before);
  CHECK(g.status() == "?? notes.txt");
  const auto again = g.undo("p-1", *done);
  REQUIRE(again);
  CHECK(again->already_reverted);
  CHECK(g.head() == head);
}

TEST_CASE("git undo: with a later commit on top it reverts and keeps that commit") {
  git_fixture g;
  const auto before = g.file("a.txt");
  const auto done = g.apply(g.order("p-1", g.patch_line(3, "third")));
  REQUIRE(done);
  write_file(g.repo / "b.txt", "later\n");
  g.commit_all("later");
  const auto later = g.head();
  const auto undone = g.undo("p-1", *done);
  REQUIRE(undone);
  CHECK(undone->commit == g.head());
  CHECK(g.git("rev-parse HEAD^") == later);
  CHECK(g.file("a.txt") == before);
  CHECK(g.file("b.txt") == "later\n");
}

TEST_CASE("git revert: the touched files are as before, later changes to others stay") {
  git_fixture g;
  write_file(g.repo / "dirty.txt", "committed\n");
  g.commit_all("dirty");
  const auto before = g.tree();
  REQUIRE(g.apply(g.order("p-1", g.files({{"b.txt", "changed\n"}, {"src/old.txt", nullptr}, {"n/new.txt", "n\n"}}))));
  write_file(g.repo / "c.txt", "later\n");
  g.commit_all("later");
  // A file that a person is working on is no reason to leave a harmful change in place.
  write_file(g.repo / "dirty.txt", "work in progress\n");
  const auto done = g.revert("p-1");
  if (!done) FAIL(done.error().message);
  CHECK(done->commit == g.head());
  CHECK(done->paths == std::vector<std::string>{"b.txt", "n/new.txt", "src/old.txt"});
  CHECK(g.status() == "M dirty.txt");
  CHECK(g.file("b.txt") == "one\n");
  CHECK(g.file("src/old.txt") == "old\n");
  CHECK_FALSE(fs::exists(g.repo / "n"));
  CHECK(g.file("c.txt") == "later\n");
  CHECK(g.git("diff --name-only " + before + " HEAD") == "c.txt");
  CHECK(g.git("log -1 --format='%(trailers:key=Reverts-Proposal-Id,valueonly)'") == "p-1");
}

TEST_CASE("git revert: again is found; the change is not applied a second time; an unknown one is not found") {
  git_fixture g;
  const auto change = g.patch_line(3, "third");
  REQUIRE(g.apply(g.order("p-1", change)));
  const auto first = g.revert("p-1");
  REQUIRE(first);
  const auto head = g.head();
  const auto again = g.revert("p-1");
  REQUIRE(again);
  CHECK(again->already_reverted);
  CHECK(again->commit == first->commit);
  CHECK(g.apply(g.order("p-1", change)).error().kind == error_kind::conflict);
  CHECK(g.revert("p-2").error().kind == error_kind::not_found);
  CHECK(g.head() == head);
}

TEST_CASE("git revert: a file that was renamed since is followed") {
  git_fixture g;
  const auto before = g.file("a.txt");
  REQUIRE(g.apply(g.order("p-1", g.patch_line(3, "third"))));
  g.git("mv a.txt renamed.txt");
  g.commit_all("rename");
  REQUIRE(g.revert("p-1"));
  CHECK(g.file("renamed.txt") == before);
  CHECK_FALSE(fs::exists(g.repo / "a.txt"));
}

TEST_CASE("git revert: what a person took back already is recorded and is no conflict") {
  git_fixture g;
  const auto done = g.apply(g.order("p-1", g.patch_line(3, "third")));
  REQUIRE(done);
  g.git("revert --no-edit HEAD");
  const auto tree = g.tree();
  REQUIRE(g.revert("p-1"));
  CHECK(g.tree() == tree);
  CHECK(g.revert("p-1")->already_reverted);
}

TEST_CASE("git revert: a conflict names the files and leaves everything as it was") {
  git_fixture g;
  REQUIRE(g.apply(g.order("p-1", g.patch_line(3, "third"))));
  auto content = g.file("a.txt");
  content.replace(content.find("third"), 5, "3rd");
  write_file(g.repo / "a.txt", content);
  g.commit_all("on top");
  const auto head = g.head();
  const auto done = g.revert("p-1");
  REQUIRE_FALSE(done);
  CHECK(done.error().kind == error_kind::conflict);
  CHECK(done.error().message.find("a.txt") != std::string::npos);
  CHECK(g.head() == head);
  CHECK(g.status().empty());
  CHECK(g.file("a.txt") == content);
  CHECK_FALSE(fs::exists(g.repo / ".git/REVERT_HEAD"));
  CHECK_FALSE(fs::exists(g.repo / ".git/singularity_agent.scratch"));
}

TEST_CASE("git revert: a person's edit in a touched file is not lost") {
  git_fixture g;
  REQUIRE(g.apply(g.order("p-1", g.patch_line(3, "third"))));
  const auto edited = g.file("a.txt") + "mine\n";
  write_file(g.repo / "a.txt", edited);
  const auto done = g.revert("p-1");
  REQUIRE_FALSE(done);
  CHECK(done.error().message.find("repository_dirty") != std::string::npos);
  CHECK(g.file("a.txt") == edited);
}

TEST_CASE("rollback: the steps of a strategy run against a real repository") {
  git_fixture g;
  const auto before = g.file("a.txt");
  REQUIRE(g.apply(g.order("p-1", g.patch_line(3, "third"))));
  agent::execution::step_commands commands;
  commands["clear_cache"] = "echo cleared $STEP for $PROPOSAL_ID: $REASON";
  commands["restart_agent"] = "echo no way >&2; exit 7";
  const std::vector<std::string> names{"revert_code", "clear_cache", "restart_agent", "unheard_of"};
  const auto plan = agent::execution::plan_rollback(names, commands);
  agent::execution::rollback_context context;
  context.proposal = base::proposal_id("p-1");
  context.reason = "error_rate_breach";
  const auto results = run(g.io, agent::execution::run_rollback(g.executor(), plan, context));
  using outcome = agent::execution::step_outcome;
  REQUIRE(results.size() == 4);
  CHECK(results[0].outcome == outcome::done);
  CHECK(results[1].outcome == outcome::done);
  CHECK(results[1].detail == "cleared clear_cache for p-1: error_rate_breach");
  CHECK(results[2].outcome == outcome::failed);
  CHECK(results[2].detail.starts_with("exit code 7"));
  CHECK(results[2].detail.ends_with(": no way"));
  CHECK(results[3].outcome == outcome::skipped);
  CHECK(results[3].detail.find("executor.step.unheard_of") != std::string::npos);
  CHECK(agent::execution::reverted(results));
  CHECK_FALSE(agent::execution::all_done(results));
  CHECK(g.file("a.txt") == before);
}

TEST_CASE("rollback: when the change cannot be taken back the other steps are not run") {
  git_fixture g;
  agent::execution::step_commands commands;
  commands["clear_cache"] = "touch ran";
  const auto plan = agent::execution::plan_rollback({"revert_code", "clear_cache"}, commands);
  agent::execution::rollback_context context;
  context.proposal = base::proposal_id("never-applied");
  context.working_directory = g.repo.string();
  const auto results = run(g.io, agent::execution::run_rollback(g.executor(), plan, context));
  using outcome = agent::execution::step_outcome;
  REQUIRE(results.size() == 2);
  CHECK(results[0].outcome == outcome::failed);
  CHECK(results[1].outcome == outcome::skipped);
  CHECK_FALSE(agent::execution::reverted(results));
  CHECK_FALSE(fs::exists(g.repo / "ran"));
}

}  // namespace
}  // namespace fleet::test
