#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "singularity_agent/execution/child_process.hpp"
#include "singularity_agent/execution/git_text.hpp"
#include "singularity_agent/execution/live_git.hpp"
#include "singularity_agent/execution/path_guard.hpp"
#include "singularity_agent/execution/rollback_steps.hpp"
#include "tests/support/results.hpp"

namespace fleet::agent::execution {
namespace {

using namespace std::string_literals;
namespace fs = std::filesystem;

const std::string commit_a(40, 'a');
const std::string commit_b(40, 'b');

TEST_CASE("git text: a raw diff gives modes, blobs and paths as they are") {
  const auto text = ":100644 000000 " + commit_a + " " + commit_b + " D\0odd \" name\0"s + ":000000 120000 " +
                    commit_b + " " + commit_a + " A\0ü/文\0"s;
  const auto changes = parse_raw_diff(text);
  REQUIRE(changes);
  REQUIRE(changes->size() == 2);
  CHECK((*changes)[0] == changed_path{"odd \" name", "100644", "000000", commit_a, commit_b});
  CHECK((*changes)[0].deleted());
  CHECK((*changes)[1].added());
  CHECK((*changes)[1].path == "ü/文");
  CHECK(parse_raw_diff("")->empty());
  CHECK_FALSE(parse_raw_diff("rubbish\0x\0"s));
  CHECK_FALSE(parse_raw_diff(":100644 000000 a b M\0"s));
}

TEST_CASE("git text: a log of trailers keeps values apart, also with commas in them") {
  const auto text =
      commit_a + "\x1e" + commit_b + "\x1e" + "p,1\x1fp-2" + "\x1e" + "\0"s + commit_b + "\x1e\x1e\x1e" + "p-3\n\0"s;
  const auto commits = parse_trailer_log(text);
  REQUIRE(commits);
  REQUIRE(commits->size() == 2);
  CHECK((*commits)[0].proposals == std::vector<std::string>{"p,1", "p-2"});
  CHECK((*commits)[0].parents == std::vector<std::string>{commit_b});
  CHECK((*commits)[0].reverts.empty());
  CHECK((*commits)[1].parents.empty());
  CHECK((*commits)[1].reverts == std::vector<std::string>{"p-3"});
  CHECK_FALSE(parse_trailer_log("nonsense"));
}

TEST_CASE("git text: status and unmerged paths") {
  CHECK(parse_status(" M a b\0R  new\0old\0?? x\0"s) == std::vector<std::string>{"a b", "new", "old", "x"});
  CHECK(parse_unmerged("100644 aa 1\tf\0"
                       "100644 bb 2\tf\0"
                       "100644 cc 3\te\0"s) == std::vector<std::string>{"e", "f"});
  CHECK(list_some({"a", "b", "c"}, 2) == "a, b and 1 more");
  CHECK(list_some({"a", "b"}, 2) == "a, b");
  CHECK(list_some({"caf\xe9\n.txt", "ü"}) == "caf??.txt, ü");
  CHECK(split_nul(join_nul({"a", "", "b"})) == std::vector<std::string>{"a", "", "b"});
}

TEST_CASE("git text: a message ends with the trailers and nothing else in its last paragraph") {
  const std::vector<trailer> trailers{{"Proposal-Id", "p-1"}, {"Instance-Id", "i"}};
  CHECK(commit_message("", "fallback", trailers) == "fallback\n\nProposal-Id: p-1\nInstance-Id: i\n");
  CHECK(commit_message("a\n\nProposal-Id: p-2", "f", trailers) ==
        "a\n\nProposal-Id: p-2\n\nProposal-Id: p-1\nInstance-Id: i\n");
  CHECK(commit_message("a\r\x1b[1m\0b"s, "f", trailers).starts_with("a  [1m b\n\n"));
  CHECK(commit_message(std::string(100'000, 'x'), "f", trailers).size() < 40'000);
}

TEST_CASE("git text: ids that fit, and commit names") {
  CHECK(fits_in_trailer("p 1"));
  CHECK_FALSE(fits_in_trailer(" p"));
  CHECK_FALSE(fits_in_trailer("p\n1"));
  CHECK_FALSE(fits_in_trailer(""));
  CHECK(is_commit_name("0123abCD"));
  for (const auto* wrong : {"", "123456", "HEAD~12", "--output=x", "main"}) CHECK_FALSE(is_commit_name(wrong));
  CHECK_FALSE(is_commit_name(std::string(65, 'a')));
}

TEST_CASE("child process: how a program failed, in one line, without what is nobody's business") {
  async::process_result ended;
  ended.exit_code = 3;
  ended.standard_error = "one\ntwo\n";
  CHECK(ended.failure().starts_with("exit code 3"));
  CHECK(ended.failure().ends_with(": one two"));
  ended.standard_error = "cannot reach postgresql://user:secret@host/fleet";
  CHECK(ended.failure().ends_with("postgresql://user:***@host/fleet"));
  ended.exit_code = -1;
  ended.signal = 9;
  CHECK(verification_of(ended).exit_code == 137);
  CHECK_FALSE(verification_of(ended).passed);
  CHECK(verification_of(ended).output_tail.find("secret") == std::string::npos);
  // Masked before it is cut: what is left of a URL does not look like one.
  ended.standard_error = "postgresql://user:secret@host/" + std::string(983, 'x');
  CHECK(ended.failure().find("cret@") == std::string::npos);
}

struct scratch {
  scratch() {
    std::string pattern = (fs::temp_directory_path() / "fleet-guard-XXXXXX").string();
    path = fs::canonical(::mkdtemp(pattern.data()));
  }
  scratch(const scratch&) = delete;
  scratch& operator=(const scratch&) = delete;
  ~scratch() { fs::remove_all(path); }
  fs::path path;
};

TEST_CASE("path guard: a link on the way is refused, one at the end and what is not there are not") {
  const scratch s;
  fs::create_directories(s.path / "repo/a/b");
  fs::create_directory_symlink(s.path, s.path / "repo/a/out");
  fs::create_directory_symlink(s.path / "gone", s.path / "repo/dangling");
  const auto root = s.path / "repo";
  CHECK(check_no_link_on_the_way(root, "a/b/c"));
  CHECK(check_no_link_on_the_way(root, "new/x/y"));
  CHECK(check_no_link_on_the_way(root, "a/out"));
  for (const auto* path : {"a/out/x", "a/out/x/y", "dangling/x"}) {
    const auto checked = check_no_link_on_the_way(root, path);
    REQUIRE_FALSE(checked);
    CHECK(checked.error().kind == base::error_kind::refused);
  }
}

TEST_CASE("live git: a process counts by name and working directory") {
  const scratch s;
  fs::create_directories(s.path / "proc/100");
  fs::create_directories(s.path / "proc/self");
  fs::create_directories(s.path / "repo/sub");
  std::ofstream(s.path / "proc/100/comm") << "git\n";
  const auto at_work = [&] { return git_is_at_work(s.path / "repo", s.path / "repo/.git", s.path / "proc"); };
  CHECK_FALSE(at_work());
  fs::create_directory_symlink(s.path / "repo-2", s.path / "proc/100/cwd");
  CHECK_FALSE(at_work());
  fs::remove(s.path / "proc/100/cwd");
  fs::create_directory_symlink(s.path / "repo/sub", s.path / "proc/100/cwd");
  CHECK(at_work());
  std::ofstream(s.path / "proc/100/comm") << "vim\n";
  CHECK_FALSE(at_work());
  CHECK(owned_by_us(s.path / "proc/100/comm"));
  CHECK_FALSE(owned_by_us(s.path / "nowhere"));
}

TEST_CASE("rollback plan: reverts are built in, others are configured commands or skipped") {
  step_commands commands;
  commands["clear_cache"] = "rm -rf cache";
  commands["restart_agent"] = "  ";
  commands["git_revert"] = "never used";
  const auto plan = plan_rollback({"revert_code", "clear_cache", "restart_agent", "git_revert", "what"}, commands);
  REQUIRE(plan.size() == 5);
  CHECK(plan[0] == planned_step{"revert_code", step_action::revert, ""});
  CHECK(plan[1] == planned_step{"clear_cache", step_action::command, "rm -rf cache"});
  CHECK(plan[2].action == step_action::skip);
  CHECK(plan[3].action == step_action::skip);
  CHECK(plan[4].action == step_action::skip);
}

TEST_CASE("rollback plan: it always reverts, and is bounded") {
  for (const auto* name : {"revert_code", "git_revert", "revert_model_config", "revert_cache_config"})
    CHECK(plan_rollback({"restart", name}, {})[1].action == step_action::revert);
  CHECK(plan_rollback({}, {}) == std::vector<planned_step>{{"revert_code", step_action::revert, ""}});
  const auto plan = plan_rollback(std::vector<std::string>(500, "clear_cache"), {});
  CHECK(plan.size() == max_rollback_steps);
  CHECK(plan[0].action == step_action::revert);
}

}  // namespace
}  // namespace fleet::agent::execution
